"""The setting of a measurement: everything that affects the duration of a step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from isotune.errors import SpecError, nearest

Mode = Literal["finetune", "frozen", "cached"]
"""``finetune`` trains every parameter; ``frozen`` trains the head, and runs the backbone in every
step; ``cached`` trains the head on cached features."""

MODES: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True)
class Setting:
    """The setting of one measurement.

    Attributes:
        backend: name of the backend.
        device: the device, as for ``isotune.run``.
        model: name of a backbone; random weights take the same time as trained ones.
        batch: number of images per step.
        mode: which parameters train.
        precision: the precision, as in a spec.
        compile: whether to compile the model, as in a spec.
        size: width and height of images, in pixels.
        classes: number of outputs of the head.
        steps: number of measured steps, after the first one.
        group: number of steps per synchronization with the device; times are means over a group.
        processes: number of processes that share each step, a shard each.
    """

    backend: str
    device: str = "auto"
    model: str = "resnet18"
    batch: int = 32
    mode: str = "finetune"
    precision: str = "fp32"
    compile: bool = False
    size: int = 224
    classes: int = 2
    steps: int = 20
    group: int = 1
    processes: int = 1

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise SpecError(
                f"there is no mode '{self.mode}'.{nearest(self.mode, MODES)}"
                f" There are: {', '.join(MODES)}."
            )
        for name in ("batch", "size", "classes", "steps", "group", "processes"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name}: is {getattr(self, name)}, but should be 1 at least.")
        if self.processes > 1 and self.mode == "cached":
            raise SpecError("processes: steps on cached features are measured in one process.")

    @property
    def is_classic(self) -> bool:
        """Whether a tutorial's loop has this setting: float32, one process, nothing else."""
        plain = self.precision == "fp32" and not self.compile and self.mode != "cached"
        return plain and self.processes == 1

    def as_json(self) -> dict[str, Any]:
        """Returns the fields as plain data, without the number of processes if it is one."""
        fields = asdict(self)
        if self.processes == 1:
            del fields["processes"]
        return fields

    def experiment(self, data: str | None = None) -> dict[str, Any]:
        """Returns the spec of an experiment with this setting, as plain data.

        Args:
            data: a dataset's folder, or None for an experiment that only builds the model.
        """
        experiment: dict[str, Any] = {
            "name": "bench",
            "dataset": {"path": data or "none"},
            "transforms": {
                "train": [{"random_resized_crop": self.size}, "random_horizontal_flip"],
                "val": [{"resize": max(self.size * 256 // 224, 1)}, {"center_crop": self.size}],
            },
            "batch_size": self.batch,
            "backbone": {"name": self.model, "weights": "none"},
            "freeze": "none" if self.mode == "finetune" else "backbone",
            "optimizer": {"name": "sgd", "lr": 0.001, "momentum": 0.9},
            "epochs": 3,
            "precision": self.precision,
            "compile": self.compile,
        }
        if self.processes > 1:
            experiment["shards"] = self.processes
        if self.mode == "cached":
            experiment["cache"] = {"features": "auto", "views": 1}
        return experiment
