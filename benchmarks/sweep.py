"""Sweeps over heads of a frozen MobileNetV2, with kept features and without.

    python benchmarks/sweep.py hymenoptera_data --weights mobilenet_v2-features-imagenet.pth

Both sweeps draw the same settings. The one without kept features ends after the first ones, since
each of its trials takes as long. A trial's seconds are those from the end of the one before it to
its own, everything included; CPU seconds are those of all threads of the process, which say more on
a machine with other work. The table is written to benchmarks/results/sweep.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pairs import installed_versions

import isotune
from isotune.equivalence.machine import describe_machine
from isotune.experiment.sweep import Sweep
from isotune.interfaces.sweep import TrialEnded
from isotune.reports.sweep import trials_table
from isotune.reports.tables import Table

RESULTS = Path(__file__).parent / "results"
SPACE = {
    "optimizer.lr": {"low": 1e-3, "high": 0.3, "log": True},
    "head": [
        "linear",
        {
            "name": "mlp",
            "hidden": {"choices": [[64], [256], [256, 64]]},
            "dropout": {"low": 0, "high": 0.6, "step": 0.2},
        },
    ],
}


@dataclass
class Clock:
    """An observer that measures what each trial takes."""

    wall: list[float] = field(default_factory=lambda: [time.perf_counter()])
    cpu: list[float] = field(default_factory=lambda: [cpu_seconds()])

    def isotune_trial_ended(self, event: TrialEnded) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(cpu_seconds())
        print(event.trial, flush=True)

    def seconds(self) -> list[tuple[float, float]]:
        """Returns the wall and the CPU seconds of each trial."""
        return [
            (self.wall[n + 1] - self.wall[n], self.cpu[n + 1] - self.cpu[n])
            for n in range(len(self.wall) - 1)
        ]


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--without", type=int, default=2, help="trials without kept features")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--results", type=Path, default=RESULTS / "sweep.md")
    options = parser.parse_args()
    measured: dict[str, tuple[Sweep, list[tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ISOTUNE_HOME"] = str(Path(folder, "home"))  # nothing is kept yet
        for kept, trials in (("auto", options.trials), ("off", options.without)):
            clock = Clock()
            spec = experiment(options, kept)
            found = isotune.sweep(
                spec, space=SPACE, trials=trials, backend=options.backend, device="cpu",
                output=Path(folder, kept), observers=[clock],
            )  # fmt: skip
            measured[kept] = found, clock.seconds()
    options.results.write_text(page(options, measured), "utf-8")


def experiment(options: argparse.Namespace, kept: str) -> dict[str, Any]:
    pipeline = [{"resize": 256}, {"center_crop": 224}]
    return {
        "name": "heads",
        "dataset": {"path": str(options.dataset.resolve())},
        "transforms": {"train": pipeline, "val": pipeline},
        "batch_size": 32,
        "backbone": {"name": "mobilenet_v2", "weights": str(options.weights.resolve())},
        "freeze": "backbone",
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
        "epochs": options.epochs,
        "cache": {"features": kept},
    }


def page(
    options: argparse.Namespace, measured: dict[str, tuple[Sweep, list[tuple[float, float]]]]
) -> str:
    table = Table(["features", "trials", "first", "median of the others", "median CPU seconds"])
    for kept, (found, seconds) in measured.items():
        first, *others = seconds
        table.add(
            "kept" if kept == "auto" else "computed in every step",
            len(found.trials),
            f"{first[0]:.1f} s",
            f"{statistics.median(wall for wall, _ in others):.1f} s",
            f"{statistics.median(cpu for _, cpu in others):.1f} s",
        )
    kept, without = measured["auto"], measured["off"]
    both = zip(kept[0].trials, without[0].trials, strict=False)
    differences = [abs((one.value or 0) - (other.value or 0)) for one, other in both]
    best = trials_table(kept[0].monitor, kept[0].trials, most=5)
    machine, versions = describe_machine(), {**installed_versions(), "optuna": version("optuna")}
    software = ", ".join(f"{name} {number}" for name, number in versions.items())
    return f"""# A sweep over heads

MobileNetV2 with ImageNet weights, frozen, on {options.dataset.name}: {options.epochs} epochs with
{options.backend}, by `benchmarks/sweep.py`. The first trial computes the features, which the others
find; without, every step runs the whole model on decoded images that are kept in memory. Wall
times depend on what else the machine does, CPU seconds hardly do.

{machine["cpu"]}, {machine["cpus"]} CPUs; {software}.

{table.markdown()}

The same settings with and without kept features: largest difference of a trial's best validation
accuracy {max(differences):.4f}.

The five best of {len(kept[0].trials)} trials:

{best.markdown()}
"""


if __name__ == "__main__":
    main()
