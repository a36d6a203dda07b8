"""Backend: the six nouns, bundled for one device; and how a plugin offers it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from isotune.errors import BackendError
from isotune.interfaces.backbone import BackboneEntry, Backbones
from isotune.interfaces.checkpoint import StateAdapter
from isotune.interfaces.communicator import Alone, Communicator, Place
from isotune.interfaces.dataset import DatasetAdapter
from isotune.interfaces.explainer import Explainer
from isotune.interfaces.exporter import Exporter
from isotune.interfaces.freezing import Freezing
from isotune.interfaces.head import Heads
from isotune.interfaces.tracer import Tracer
from isotune.interfaces.trainer import Trainer, TrainingPlan
from isotune.spec.values import Precision


class Backend(ABC):
    """One framework on one device.

    Attributes:
        name: Name of the backend, as in ``backend="torch"``.
        device: Device in use, as in ``cuda:0``.
        exporter: Writes models to files of the offer's ``exports``; None if there are none.
        explainer: Returns values from within models; None if the backend explains nothing.
        tracer: Watches training steps; None if they cannot be watched.
        divides_batches: Whether its trainers know ``StepPlan.part``; if not, the core refuses
            specs with several shards.
        communicator: Reaches the other processes of the run.
    """

    name: str
    device: str
    dataset: DatasetAdapter
    backbones: Backbones
    heads: Heads
    freezing: Freezing
    state_adapter: StateAdapter
    exporter: Exporter | None = None
    explainer: Explainer | None = None
    tracer: Tracer | None = None
    divides_batches: bool = False
    communicator: Communicator = Alone()

    @abstractmethod
    def trainer(self, model: Any, plan: TrainingPlan) -> Trainer:
        """Returns a trainer for `model`; every parameter trains until ``freeze`` is called."""

    @abstractmethod
    def precisions(self) -> tuple[Precision, ...]:
        """Returns the precisions that the device supports; ``fp32`` is the first."""

    def inference_batch_size(self) -> int:
        """Returns the batch size at which the device evaluates efficiently.

        A CPU gains nothing from larger batches (milliseconds per image at 4, 8 and 32, on 2 cores
        of an x86 CPU with torch 2.15 and fp32 at 224 pixels: MobileNetV2 13.3, 13.1, 13.3;
        ResNet-50 94, 88, 86), and small ones are decoded sooner.
        """
        return 8 if self.device == "cpu" else 64

    def isolated(self) -> AbstractContextManager[None]:
        """Context in which the framework has its default settings; afterwards it has the caller's.

        Those are settings of the process or thread that decide what is computed, such as a
        default dtype or whether gradients are recorded, and the states of random number
        generators. The core enters it around all that it does with a backend.
        """
        return nullcontext()

    @abstractmethod
    def threads(self) -> int:
        """Returns the number of CPU threads that the framework computes with."""

    @abstractmethod
    def versions(self) -> Mapping[str, str]:
        """Returns the versions of the packages that can change what it computes, by package."""


@dataclass(frozen=True)
class Launch:
    """A command that starts processes.

    Attributes:
        command: The command with its arguments.
        environment: Variables to set for it.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class BackendOffer(ABC):
    """What a plugin offers before its framework is imported.

    Attributes:
        name: Name of the backend.
        install: Command that installs its requirements.
        libraries: For each library of models that the backend also builds, a function from the
            name of a model to its entry, which has the name ``LIBRARY:MODEL``. It raises
            BackendError if the library is not installed or has no such model.
        exports: File formats that the backend writes, such as ``onnx``, best first. Of several
            backends that write a format, the one with the format nearest to the front is used.
    """

    name: str
    install: str
    libraries: Mapping[str, Callable[[str], BackboneEntry]] = MappingProxyType({})
    exports: tuple[str, ...] = ()

    @abstractmethod
    def versions(self) -> Mapping[str, str]:
        """Imports the framework and returns versions by package.

        Raises:
            ImportError: The framework or one of its requirements is not installed.
        """

    @abstractmethod
    def devices(self) -> list[str]:
        """Returns the usable devices, best first: ``["cuda:0", "cuda:1", "cpu"]``.

        Raises:
            ImportError: as :meth:`versions`.
        """

    @abstractmethod
    def open(self, device: str) -> Backend:
        """Returns the backend on `device`, one of :meth:`devices`."""

    def place(self) -> Place:
        """Returns which process this one is, from what the framework's launcher has set.

        Imports no framework.
        """
        return Place()

    def launch(self, processes: int, arguments: Sequence[str], logs: Path) -> Launch:
        """Returns how the framework's launcher starts processes on this machine.

        Imports no framework.

        Args:
            processes: Number of processes.
            arguments: Each of them runs ``python`` with these arguments.
            logs: A new folder for what the launcher writes.

        Raises:
            BackendError: The backend trains in one process only.
        """
        raise BackendError(f"backend '{self.name}' trains in one process only.")

    def join(self, device: str, place: Place) -> Backend:
        """Returns the backend on `device`, with a communicator that reaches the other processes.

        Waits until all of them have come.

        Args:
            device: One of :meth:`devices`.
            place: What :meth:`place` returned, of several processes.

        Raises:
            BackendError: The backend trains in one process only.
            LostProcessError: The others do not come.
        """
        raise BackendError(f"backend '{self.name}' trains in one process only.")
