"""Runs one experiment with hand-written code and with Isotune, each in a new process."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from processes import Ended, run

from isotune.spec.load import load_spec

HERE = Path(__file__).resolve().parent
Record = dict[str, Any]

TUNED = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1)}
"""Has the C library keep freed memory for a hand-written loop, as Isotune does for its own."""


@dataclass(frozen=True)
class Case:
    """An experiment.

    Attributes:
        data: a folder with train/ and val/.
        weights: a .pth file with torchvision's names, or None for random weights.
        workers: number of decoding processes of the hand-written loop.
        sets: overrides of the spec, KEY=VALUE, which the hand-written loop ignores.
        warm: whether Isotune's runs share a home folder and thereby its caches.
        device: device as for ``isotune run``, except ``auto``: both sides must use the same one.
        precision: precision of the bare step: fp32, or bf16, for which the hand-written loop uses
            autocast and channels_last.
        compile: whether to compile the bare step's model.
        tuned: whether the hand-written loop has `TUNED` in its environment.
    """

    backend: str
    model: str
    batch: int
    epochs: int
    frozen: bool
    size: int
    data: str
    weights: str | None
    workers: int
    sets: tuple[str, ...]
    warm: bool
    device: str
    precision: str = "fp32"
    compile: bool = False
    tuned: bool = False

    def settings(self) -> Record:
        """Returns the settings that results must share to be combined."""
        settings = {
            **asdict(self),
            "data": Path(self.data).name,
            "weights": Path(self.weights).name if self.weights else None,
            "sets": list(self.sets),
        }
        if not self.tuned:  # as in results from before there was a choice
            del settings["tuned"]
        return settings

    def caches(self) -> float:
        """Returns the upper bound of the memory of Isotune's caches, in MiB."""
        memory = load_spec(self.experiment(0), self.sets).cache.memory
        return memory * 1.25 if self.frozen else memory

    def native(self, seed: int, work: Path, part: str = "train") -> Record:
        """Runs the hand-written loop."""
        command = self._native_command(part, ["--data", self.data, "--seed", str(seed)])
        if self.weights:
            command += ["--weights", self._native_weights(work)]
        if self.frozen:
            command.append("--frozen")
        ended = run(command, self._native_environment())
        figures = json.loads(ended.last_line)
        epochs = [sum(seconds.values()) for seconds in figures["epochs"]]
        return record(ended, epochs, figures)

    def isotune(self, seed: int, work: Path, stop: str = "") -> Record:
        """Runs ``isotune run``, with an empty home folder unless `warm` is set."""
        with tempfile.TemporaryDirectory(dir=work) as folder:
            spec, times = Path(folder) / "spec.json", Path(folder) / "times.json"
            spec.write_text(json.dumps(self.experiment(seed)), "utf-8")
            home = work / "home" if self.warm else Path(folder) / "home"
            home.mkdir(exist_ok=True)
            command = [sys.executable, str(HERE / "timed_run.py"), str(times), "run", str(spec)]
            command += ["--backend", self.backend, "--device", self.device]
            command += ["--output", str(Path(folder) / "run")]
            for each in self.sets:
                command += ["--set", each]
            ended = run(command, {"ISOTUNE_HOME": str(home), "BENCHMARK_STOP": stop})
            figures = json.loads(times.read_text("utf-8"))
        return record(ended, figures["epochs"], figures)

    def native_step(self, steps: int) -> Record:
        """Times the hand-written training step alone."""
        command = self._native_command("step", ["--steps", str(steps)])
        if self.frozen:
            command.append("--frozen")
        if self.precision == "bf16":
            command += ["--bf16", "--channels-last"]
        if self.compile:
            command.append("--compile")
        return step_record(run(command, self._native_environment()), self.batch)

    def isotune_step(self, steps: int, backend: str | None = None) -> Record:
        """Times Isotune's training step alone, with `backend` if given."""
        setting = {
            "backend": backend or self.backend,
            "device": self.device,
            "model": self.model,
            "batch": self.batch,
            "size": self.size,
            "mode": "frozen" if self.frozen else "finetune",
            "precision": self.precision,
            "compile": self.compile,
            "steps": steps,
        }
        command = [sys.executable, "-m", "isotune.bench.worker", "step", json.dumps(setting)]
        return step_record(run(command), self.batch)

    def experiment(self, seed: int) -> Record:
        """Returns the spec of the PyTorch tutorial with the settings of this case."""
        return {
            "name": "target",
            "dataset": {"path": self.data},
            "transforms": {
                "train": [{"random_resized_crop": self.size}, "random_horizontal_flip"],
                "val": [{"resize": self.size * 256 // 224}, {"center_crop": self.size}],
            },
            "batch_size": self.batch,
            "backbone": {"name": self.model, "weights": self.weights or "none"},
            "freeze": "backbone" if self.frozen else "none",
            "optimizer": {"name": "sgd", "lr": 0.001, "momentum": 0.9},
            "schedule": {"name": "step", "every": 5, "gamma": 0.1},
            "epochs": self.epochs,
            "seed": seed,
        }

    def _native_command(self, part: str, more: list[str]) -> list[str]:
        command = [sys.executable, str(HERE / "native" / f"{self.backend}_loop.py")]
        command += ["--part", part, "--model", self.model, "--batch", str(self.batch)]
        command += ["--epochs", str(self.epochs), "--size", str(self.size)]
        return [*command, "--workers", str(self.workers), "--device", self.device, *more]

    def _native_environment(self) -> dict[str, str]:
        return {"GLOG_v": "3", **(TUNED if self.tuned else {})}

    def _native_weights(self, work: Path) -> str:
        """Returns the path of the weights for the framework, converted once if necessary."""
        assert self.weights
        if self.backend == "torch":
            return self.weights
        converted = work / f"{Path(self.weights).stem}.ckpt"
        if not converted.exists():
            command = ["convert", self.weights, str(converted), "--backbone", self.model]
            run([sys.executable, "-c", "import isotune.cli as c; c.main()", *command])
        return str(converted)


def record(ended: Ended, epochs: list[float], figures: Record) -> Record:
    """Returns a run's figures: seconds, MiB, and the accuracy in [0, 1]."""
    later = epochs[1:]
    return {
        "wall": ended.wall,
        "peak_mib": ended.peak_mib,
        "epochs": epochs,
        "epoch": statistics.median(later) if later else None,
        "training": sum(epochs) or None,
        "to_first_step": figures["to_first_step"],
        "cpu": ended.cpu,
        "best_val_accuracy": figures.get("best_val_accuracy"),
        "slow_steps": figures.get("slow_steps"),
        "timings": figures.get("timings"),
    }


def step_record(ended: Ended, batch: int) -> Record:
    """Returns the figures of bare training steps."""
    figures = json.loads(ended.last_line)
    if "error" in figures:
        raise SystemExit(figures["error"])
    names = ("first_step", "step_ms", "step_ms_iqr")
    return {
        "wall": ended.wall,
        "peak_mib": ended.peak_mib,
        "images_per_second": batch / figures["step_ms"] * 1e3,
        **{name: figures[name] for name in names},
    }


def faster_workers(case_with: Callable[[int], Case], work: Path) -> int:
    """Returns the number of workers, 0 or 2, with the shorter run of the hand-written loop.

    Args:
        case_with: returns the case for a number of workers.
        work: a folder for intermediate files.
    """
    return min((0, 2), key=lambda workers: case_with(workers).native(0, work)["wall"])
