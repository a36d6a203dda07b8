"""The six nouns on one device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from mindspore import nn

from isotune.interfaces.backend import Backend
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.values import Precision
from isotune_mindspore.backbone import MindSporeBackbones
from isotune_mindspore.checkpoint import MindSporeStateAdapter
from isotune_mindspore.dataset import MindSporeDatasetAdapter
from isotune_mindspore.devices import cpu_threads
from isotune_mindspore.explainer import MindSporeExplainer
from isotune_mindspore.exporter import MindSporeExporter
from isotune_mindspore.freezing import MindSporeFreezing
from isotune_mindspore.head import MindSporeHeads
from isotune_mindspore.plugin import MindSporeOffer
from isotune_mindspore.settings import default_settings
from isotune_mindspore.tracer import MindSporeTracer
from isotune_mindspore.trainer import MindSporeTrainer


class MindSporeBackend(Backend):
    """MindSpore on the one device this process uses."""

    name = "mindspore"
    divides_batches = True

    def __init__(self, device: str) -> None:
        self.device = device
        self.dataset = MindSporeDatasetAdapter()
        self.backbones = MindSporeBackbones()
        self.heads = MindSporeHeads()
        self.freezing = MindSporeFreezing()
        self.state_adapter = MindSporeStateAdapter()
        self.exporter = MindSporeExporter()
        self.explainer = MindSporeExplainer()
        self.tracer = MindSporeTracer()

    def trainer(self, model: nn.Cell, plan: TrainingPlan) -> MindSporeTrainer:
        """Returns a trainer for `model`."""
        return MindSporeTrainer(model, plan, self.communicator.place)

    def precisions(self) -> tuple[Precision, ...]:
        """Returns only ``fp32``.

        MindSpore's CPU kernels (2.10) have no bfloat16 convolution, and take 1.4 to 2.7 times as
        long in float16.
        """
        return ("fp32",)

    def isolated(self) -> AbstractContextManager[None]:
        """Context in PyNative mode, with the caller's mode and seed afterwards."""
        return default_settings()

    def versions(self) -> Mapping[str, str]:
        """Returns the versions that the plugin reports."""
        return MindSporeOffer().versions()

    def threads(self) -> int:
        """Returns the number of threads that MindSpore's CPU kernels use."""
        return cpu_threads()
