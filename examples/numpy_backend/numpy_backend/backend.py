"""The nouns, bundled."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from isotune.interfaces.backend import Backend
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.values import Precision
from numpy_backend.backbone import Net, NumpyBackbones
from numpy_backend.checkpoint import NumpyStateAdapter
from numpy_backend.dataset import NumpyDataset
from numpy_backend.explainer import NumpyExplainer
from numpy_backend.freezing import NumpyFreezing
from numpy_backend.head import NumpyHeads
from numpy_backend.tracer import NumpyTracer
from numpy_backend.trainer import NumpyTrainer


class NumpyBackend(Backend):
    """NumPy, on the only device it has."""

    name = "numpy"
    divides_batches = True

    def __init__(self, device: str) -> None:
        self.device = device
        self.dataset = NumpyDataset()
        self.backbones = NumpyBackbones()
        self.heads = NumpyHeads()
        self.freezing = NumpyFreezing()
        self.state_adapter = NumpyStateAdapter()
        self.explainer = NumpyExplainer()
        self.tracer = NumpyTracer()

    def trainer(self, model: Net, plan: TrainingPlan) -> NumpyTrainer:
        return NumpyTrainer(model, plan, self.communicator)

    def precisions(self) -> tuple[Precision, ...]:
        return ("fp32",)

    def versions(self) -> Mapping[str, str]:
        return {"numpy": np.__version__}

    def threads(self) -> int:
        return os.cpu_count() or 1
