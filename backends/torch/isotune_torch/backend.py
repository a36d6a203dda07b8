"""The six nouns on one device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import nn

from isotune.interfaces.backend import Backend
from isotune.interfaces.communicator import Alone, Communicator
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.values import Precision
from isotune_torch.backbone import TorchBackbones
from isotune_torch.checkpoint import TorchStateAdapter
from isotune_torch.dataset import TorchDatasetAdapter
from isotune_torch.devices import precisions
from isotune_torch.explainer import TorchExplainer
from isotune_torch.exporter import TorchExporter
from isotune_torch.freezing import TorchFreezing
from isotune_torch.head import TorchHeads
from isotune_torch.plugin import TorchOffer
from isotune_torch.settings import default_settings
from isotune_torch.tracer import TorchTracer
from isotune_torch.trainer import TorchTrainer


class TorchBackend(Backend):
    """PyTorch on one device."""

    name = "torch"
    divides_batches = True

    def __init__(self, device: str, communicator: Communicator | None = None) -> None:
        self.device = device
        self.communicator = communicator or Alone()
        self._device = torch.device(device)
        self.dataset = TorchDatasetAdapter(self._device)
        self.backbones = TorchBackbones(self._device)
        self.heads = TorchHeads()
        self.freezing = TorchFreezing()
        self.state_adapter = TorchStateAdapter()
        self.exporter = TorchExporter()
        self.explainer = TorchExplainer()
        self.tracer = TorchTracer()

    def trainer(self, model: nn.Module, plan: TrainingPlan) -> TorchTrainer:
        """Returns a trainer for `model`, which is on the device already."""
        return TorchTrainer(model, plan, self._device, self.communicator)

    def precisions(self) -> tuple[Precision, ...]:
        """Returns the precisions that the device supports; ``fp32`` is the first."""
        return precisions(self._device)

    def isolated(self) -> AbstractContextManager[None]:
        """Context in which PyTorch has its default settings; see :mod:`isotune_torch.settings`."""
        return default_settings(self._device)

    def versions(self) -> Mapping[str, str]:
        """Returns the versions that the plugin reports."""
        return TorchOffer().versions()

    def threads(self) -> int:
        """Returns the number of threads within one operation on the CPU."""
        return int(torch.get_num_threads())
