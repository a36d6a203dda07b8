"""Compares Isotune with its peers on the same work, in pairs: `make peers`.

    python benchmarks/peers --python .venv-peers/bin/python --home DIR

MobileNetV2 learns ants and bees from the same weights, and predicts the validation images. Every
process gets as many CPUs as it computes threads. Each pair is saved to results/peers/ at once, and
the same call continues where the last one stopped.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cases import TUNED, Case
from pairs import RESULTS, Deadline, Part, Record, forget, measure
from peers_page import render
from processes import Ended, run
from sides import PEERS, WORKS, peer_command

CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", *TUNED)
"""Variables that would change how all sides compute."""

EPOCHS = 2
LR = 0.01
ISOTUNE = [sys.executable, "-c", "import isotune.cli as c; c.main()"]


@dataclass(frozen=True)
class Comparison:
    """The same work for all.

    Attributes:
        work: one of `WORKS`.
        threads: number of threads that compute, and of CPUs.
        case: the experiment.
        trained: folder of a trained run, whose weights are in `trained.pth` beside it.
        folder: a folder for intermediate files.
        python: interpreter of the peers' environment.
    """

    work: str
    threads: int
    case: Case
    trained: Path
    folder: Path
    python: str

    def isotune(self, seed: int) -> Record:
        """Runs Isotune with an empty home folder."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            folder = Path(name)
            environment = {"ISOTUNE_HOME": str(folder / "home")}
            if self.work == "predict":
                table = folder / "predicted.csv"
                command = [*ISOTUNE, "predict", str(self.trained), f"{self.case.data}/val"]
                ended = self._run([*command, "--output", str(table)], environment)
                return record(ended, correct(table))
            spec, output = folder / "spec.json", folder / "run"
            spec.write_text(json.dumps(experiment(self.case, seed)), "utf-8")
            ended = self._run(
                [*ISOTUNE, "run", str(spec), "--backend", "torch", "--output", str(output)],
                environment,
            )
            lines = (output / "metrics.jsonl").read_text("utf-8").splitlines()
            return record(ended, json.loads(lines[-1])["val_accuracy"])

    def peer(self, name: str, seed: int) -> Record:
        """Runs a peer."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            weights = f"{self.trained}.pth" if self.work == "predict" else self.case.weights
            command = [self.python, *peer_command(name, self.work)]
            command += ["--data", self.case.data, "--weights", str(weights), "--lr", str(LR)]
            command += ["--batch", str(self.case.batch), "--epochs", str(self.case.epochs)]
            command += ["--seed", str(seed), "--workers", str(self.case.workers)]
            if self.work == "predict":
                command += ["--predict", f"{folder}/predicted.csv"]
            ended = self._run(command, TUNED if name == "plain, malloc tuned" else {})
        return record(ended, json.loads(ended.last_line)["accuracy"])

    def _run(self, command: list[str], environment: dict[str, str]) -> Ended:
        """Runs a command on as many CPUs as it computes threads."""
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cpus[: self.threads])
        try:
            return run(command, {"OMP_NUM_THREADS": str(self.threads), **environment})
        finally:
            os.sched_setaffinity(0, cpus)


def record(ended: Ended, accuracy: float) -> Record:
    return {
        "cpu": ended.cpu,
        "wall": ended.wall,
        "peak_mib": ended.peak_mib,
        "accuracy": float(accuracy),
        "load": os.getloadavg()[0],
    }


def correct(table: Path) -> float:
    """Returns the fraction of images that were predicted to be what their folder says."""
    with table.open(newline="", encoding="utf-8") as stream:
        right = [Path(row["path"]).parent.name == row["class_1"] for row in csv.DictReader(stream)]
    return statistics.fmean(right)


def experiment(case: Case, seed: int) -> dict[str, Any]:
    """Returns the spec."""
    spec = case.experiment(seed)
    return {**spec, "optimizer": {**spec["optimizer"], "lr": LR}}


def trained_run(case: Case, folder: Path) -> Path:
    """Trains what everybody predicts with, once; returns the run's folder."""
    output = folder / "trained"
    if not output.with_suffix(".pth").exists():
        spec = folder / "trained.json"
        spec.write_text(json.dumps(experiment(case, 0)), "utf-8")
        run([*ISOTUNE, "run", str(spec), "--backend", "torch", "--output", str(output)])
        run([*ISOTUNE, "convert", str(output), f"{output}.pth"])
    return output


def parts(options: argparse.Namespace) -> Iterator[Part]:
    """Returns a comparison per peer, work and number of threads."""
    home = options.home.resolve()
    data, weights = home / "datasets" / options.data, home / "weights" / options.weights
    cpus = len(os.sched_getaffinity(0))
    for threads in (n for n in options.threads or (1, 2) if n <= cpus):
        for work in WORKS:
            case = Case(
                "torch", "mobilenet_v2", options.batch, options.epochs, work != "finetune", 224,
                str(data), str(weights), threads if threads > 1 else 0, (), False, "cpu",
            )  # fmt: skip
            trained = (
                trained_run(case, options.work) if work == "predict" else options.work / "trained"
            )
            same = Comparison(work, threads, case, trained, options.work, options.python)
            # One run of Isotune is compared with all that follow it.
            isotune = functools.cache(same.isotune)
            for name in options.peer or PEERS:
                yield part(same, name, isotune)


def part(same: Comparison, name: str, isotune: Callable[[int], Record]) -> Part:
    """Returns the comparison with one peer."""
    short = name.replace(", ", "-").replace(" ", "-").lower()
    return Part(
        name=f"{same.work}-{same.threads}-{short}",
        title=f"{WORKS[same.work]}, {same.threads} compute threads: {name}",
        settings={
            **same.case.settings(),
            "lr": LR,
            "work": same.work,
            "threads": same.threads,
            "peer": name,
        },
        first=lambda seed: same.peer(name, seed),
        second=isotune,
        ratios={"cpu": None, "wall": None, "peak_mib": None},
        names=(name, "isotune"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    home = os.environ.get("ISOTUNE_HOME", str(Path.home() / ".cache" / "isotune"))
    parser.add_argument("--python", required=True, help="interpreter of the peers' environment")
    parser.add_argument("--home", type=Path, default=home, help="folder of datasets/ and weights/")
    parser.add_argument("--data", default="hymenoptera_data", help="in datasets/")
    parser.add_argument("--weights", default="mobilenet_v2-features-imagenet.pth")
    parser.add_argument("--peer", action="append", choices=PEERS, help="by default all")
    parser.add_argument("--threads", type=int, action="append", help="by default 1 and 2")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--pairs", type=int, default=3, help="total number of pairs")
    parser.add_argument("--minutes", type=float, default=600, help="starts no pair that ends later")
    parser.add_argument("--fresh", action="store_true", help="discard earlier results")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--work", type=Path, default=Path("build/peers"))
    options = parser.parse_args()
    for name in CHOICES:
        os.environ.pop(name, None)
    options.work.mkdir(parents=True, exist_ok=True)
    options.work = options.work.resolve()
    folder = options.results / "peers"
    selected = list(parts(options))
    if options.fresh:
        for each in selected:
            forget(each, folder)
    measure(selected, options.pairs, Deadline(options.minutes), folder)
    (options.results / "peers.md").write_text(render(folder), "utf-8")
    print(f"wrote {options.results / 'peers.md'}")


if __name__ == "__main__":
    main()
