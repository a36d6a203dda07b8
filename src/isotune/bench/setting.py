"""What is measured: a value for each thing that decides how long a step takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from isotune.errors import SpecError, nearest

Mode = Literal["finetune", "frozen", "cached"]
"""``finetune``: every parameter trains; ``frozen``: the head alone does, and the backbone runs in
every step; ``cached``: the head alone does, on features that were computed once."""

MODES: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True)
class Setting:
    """One measurement.

    Attributes:
        backend: the backend's name.
        device: as for ``isotune.run``.
        model: a backbone of the catalogue; its weights are random, which costs the same.
        batch: images a step.
        mode: what trains.
        precision: what the model computes in, as in a spec.
        compile: whether the model is compiled, as in a spec.
        size: side of an image, in pixels.
        classes: outputs of the head.
        steps: training steps that count; the first one comes before them.
        group: steps between two waits for the device; times are means over a group.
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

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise SpecError(
                f"there is no mode '{self.mode}'.{nearest(self.mode, MODES)}"
                f" There are: {', '.join(MODES)}."
            )
        for name in ("batch", "size", "classes", "steps", "group"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name}: is {getattr(self, name)}, but should be 1 at least.")

    @property
    def is_classic(self) -> bool:
        """Whether a tutorial's loop does the same: float32, not compiled, no features kept."""
        return self.precision == "fp32" and not self.compile and self.mode != "cached"

    def as_json(self) -> dict[str, Any]:
        """Returns plain data."""
        return asdict(self)

    def experiment(self, data: str | None = None) -> dict[str, Any]:
        """Returns an experiment of this setting, as a YAML file would have it.

        Args:
            data: a dataset's folder; without one the experiment can give a model, but no
                images.
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
        if self.mode == "cached":
            experiment["cache"] = {"features": "auto", "views": 1}
        return experiment
