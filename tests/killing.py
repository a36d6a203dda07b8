"""Kills a real run at random moments, resumes it, and compares what it comes to.

    python tests/killing.py --backend torch --kills 50

Each process is killed (SIGKILL) at a moment drawn from the time that an undisturbed run takes, and
the next one resumes what it left; when a run is whole, another one begins.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from isotune.runs.checkpoints import CheckpointStore
from isotune.testing.subject import in_bytes
from tiny import make_images

TIMES = {"train_seconds", "val_seconds", "data_seconds", "step_ms"}
"""What of a line of metrics differs from run to run."""


def demanding_experiment(images: Path, **changes: Any) -> dict[str, Any]:
    """Returns a spec with augmentation, momentum, dropout, BatchNorm and a schedule in play."""
    spec = {
        "name": "killed",
        "dataset": {"path": str(images)},
        "transforms": {
            "train": [{"random_resized_crop": 32}, "random_horizontal_flip"],
            "val": [{"resize": [32, 32]}],
        },
        "batch_size": 4,
        "backbone": {"name": "mobilenet_v2", "weights": "none"},
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
        "schedule": {"name": "cosine"},
        "epochs": 6,
        "checkpoint": {"every_steps": 1, "keep": 3},
    }
    return {**spec, **changes}


def outcome(folder: Path) -> dict[str, Any]:
    """Returns what a run came to: the bytes of its last and best state, and its metrics."""
    store = CheckpointStore(folder / "checkpoints")
    last, best = store.load("last"), store.load("best")
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return {
        "states": [in_bytes(state) for state in (last.model, last.optimizer, best.model)],
        "metrics": [
            {key: value for key, value in json.loads(line).items() if key not in TIMES}
            for line in lines
        ],
        "best": best.manifest["epoch"],
    }


def is_finished(folder: Path) -> bool:
    summary = folder / "summary.json"
    return summary.exists() and json.loads(summary.read_text("utf-8"))["state"] == "finished"


@dataclass
class Killer:
    """Runs an experiment in processes that it kills.

    Attributes:
        spec: the spec's file.
        kills: how many processes it has killed so far.
    """

    spec: Path
    backend: str
    rng: random.Random
    kills: int = 0

    def undisturbed(self, folder: Path) -> float:
        """Runs it as a whole; returns the seconds that it took."""
        begin = time.monotonic()
        process = self._process(folder)
        _, said = process.communicate()
        assert process.returncode == 0, said
        return time.monotonic() - begin

    def disturbed(self, folder: Path, seconds: float, at_most: int) -> None:
        """Runs it to its end, killing processes that are in its way.

        Args:
            seconds: what an undisturbed run takes; a process is killed within that time.
            at_most: how many processes to kill.
        """
        end = self.kills + at_most
        while True:
            process = self._process(folder)
            try:
                wait = self.rng.uniform(0, seconds) if self.kills < end else None
                _, said = process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                self.kills += 1
                if is_finished(folder):  # it was killed between its work's end and its own
                    return
                continue
            assert process.returncode == 0, said
            return

    def _process(self, folder: Path) -> subprocess.Popen[str]:
        begun = (folder / "spec.yaml").exists()
        what = ["resume", str(folder)] if begun else ["run", str(self.spec), "-o", str(folder)]
        code = "from isotune.cli import main; main()"
        command = [sys.executable, "-c", code, *what, "--backend", self.backend, "-d", "cpu"]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        spec = root / "spec.yaml"
        images = make_images(root / "images", train=8, val=2, size=40)
        spec.write_text(yaml.safe_dump(demanding_experiment(images)))
        killer = Killer(spec, options.backend, random.Random(options.seed))
        seconds = killer.undisturbed(root / "whole")
        expected, runs = outcome(root / "whole"), 0
        while killer.kills < options.kills:
            folder = root / f"killed-{runs}"
            killer.disturbed(folder, seconds, min(10, options.kills - killer.kills))
            assert outcome(folder) == expected, f"run {runs} differs"
            runs += 1
            print(f"{killer.kills} kills in {runs} runs: the same bytes", flush=True)


if __name__ == "__main__":
    main()
