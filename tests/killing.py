"""Kills a real run at drawn moments, resumes it, and compares what it comes to.

    python tests/killing.py --backend torch --kills 50
    python tests/killing.py --backend mindspore --kills 100 --backbone tiny_bn  # compiles quickly

A moment is an import at the start, what a process does to the run folder and to its home (a folder
made, a file opened, written by half, flushed, renamed, removed), a batch of the validation, or an
event that observers see. A process counts the moments that it passes, and sends itself SIGKILL at
the drawn one; the next process begins or resumes what it left, whatever that is. When a run is
whole, another one begins. The clock decides nothing, and a seed always draws the same.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

sys.path.append(str(Path(__file__).parents[1] / "examples" / "numpy_backend"))  # pytest's path

import isotune
import numpy_backend.plugin
from contract.nets import ENTRIES
from isotune.cli.app import app
from isotune.hookspecs import hookimpl
from isotune.interfaces.backbone import BackboneEntry
from isotune.plugins import plugins
from moments import PHASES, Fatal, Moments
from outcomes import is_finished, outcome
from tiny import make_images


class ContractNets:
    """Offers the nets of the contract, some of which have BatchNorm."""

    @hookimpl
    def isotune_backbones(self) -> list[BackboneEntry]:
        return [entry for name, entry in ENTRIES.items() if name != "linear"]


def demanding_experiment(images: Path, backbone: str, **changes: Any) -> dict[str, Any]:
    """Returns a spec with all that changes from step to step, which a resume could forget."""
    hidden = {"head": {"name": "mlp", "hidden": [6], "dropout": 0.5}}
    spec = {
        "name": "killed",
        "dataset": {"path": str(images)},
        "transforms": {
            "train": [{"random_resized_crop": 32}, "random_horizontal_flip"],
            "val": [{"resize": [32, 32]}],
        },
        "batch_size": 4,
        "mixing": {"mixup": 0.4, "cutmix": 1.0, "probability": 0.8},
        "eval_batch_size": 2,
        "backbone": {"name": backbone, "weights": "none"},
        **({} if backbone == "mobilenet_v2" else hidden),  # which has dropout itself
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
        "clip_grad_norm": 1.0,
        "schedule": {"name": "one_cycle"},
        "ema": {"decay": 0.9},
        "epochs": 6,
        "checkpoint": {"every_steps": 1, "keep": 3, "save_best_as": "best.pth"},
    }
    return {**spec, **changes}


def smallest_experiment(images: Path, **changes: Any) -> dict[str, Any]:
    """Returns a spec for the NumPy backend, with accumulation and best checkpoints in between."""
    size = {"size": 8, "padding": 1}
    return demanding_experiment(
        images,
        "linear",
        head={"name": "linear"},
        accumulate=2,
        transforms={"train": [{"random_crop": size}], "val": [{"resize": [8, 8]}]},
        **changes,
    )


@dataclass
class Killer:
    """Runs an experiment in processes that die.

    They are forked from this one, which has imported no framework, so that each begins at once.

    Attributes:
        spec: the spec's file.
        backend: name of the backend.
        log: a file for what the processes print.
        kills: how many of them have died so far, by the moment at which they did.
    """

    spec: Path
    backend: str
    log: Path
    kills: Counter[str] = field(default_factory=Counter)

    def whole(self, folder: Path) -> list[str]:
        """Runs it undisturbed and returns the moments that it passed."""
        moments = self.lives(folder, None)
        assert moments is not None
        return moments

    def lives(self, folder: Path, fatal: Fatal | None) -> list[str] | None:
        """Runs or resumes in a new process; returns its moments, or None if it was killed."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os._exit(self._live(folder, fatal, writing))
        os.close(writing)
        with os.fdopen(reading) as pipe:
            moments = pipe.read().splitlines()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == -signal.SIGKILL:
            self.kills[moments[0]] += 1
            return None
        assert code == 0, self.log.read_text("utf-8")
        return moments

    def _live(self, folder: Path, fatal: Fatal | None, told: int) -> int:
        with self.log.open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        home = folder.with_name(f"{folder.name}-home")
        os.environ["ISOTUNE_HOME"] = str(home)
        begun = (folder / "spec.yaml").exists()
        what = ["resume", str(folder)] if begun else ["run", str(self.spec), "-o", str(folder)]
        moments = Moments(folder, home, fatal, told)
        try:
            app([*what, "--backend", self.backend, "-d", "cpu"], prog_name="isotune")
        except SystemExit as end:
            os.write(told, "\n".join(moments.passed).encode())
            return int(end.code or 0)
        except BaseException as error:
            print(repr(error), flush=True)
        return 1


def check(killer: Killer, root: Path, kills: int, at_a_time: int, rng: random.Random) -> Path:
    """Kills at drawn moments until so many processes have died; returns the folder of the last run.

    All phases have equal shares. A run is killed at most `at_a_time` times, and then, or once a
    process has survived its moment, it must come to what an undisturbed one comes to.

    Raises:
        AssertionError: a run that was killed came to other bytes than one that was not.
    """
    moments = killer.whole(root / "whole")
    expected, runs = outcome(root / "whole"), 0
    numbers = Counter(moment.partition(":")[0] for moment in moments)
    while killer.kills.total() < kills:
        folder, before = root / f"killed-{runs}", killer.kills.total()
        died: list[Fatal] = []
        while len(died) < at_a_time and before + len(died) < kills:
            phase = PHASES[(before + len(died)) % len(PHASES)]
            # Early in what is left of the run, so that later processes have something left, too.
            share = 1 if phase in ("start", "end") else at_a_time
            fatal = Fatal(phase, rng.randint(1, max(1, numbers[phase] // share)))
            if killer.lives(folder, fatal) is not None:
                break
            died.append(fatal)
            if is_finished(folder):  # killed after it said so
                break
        if not is_finished(folder):
            killer.lives(folder, None)
        assert outcome(folder) == expected, f"killed at {died}: differs"
        runs += 1
        if runs > 1:
            shutil.rmtree(root / f"killed-{runs - 2}")
    told = ", ".join(f"{moment} {count}" for moment, count in sorted(killer.kills.items()))
    print(f"{killer.kills.total()} kills at {len(moments)} moments, {runs} runs, the same bytes:")
    print(told)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", required=True)
    parser.add_argument("--backbone", default="mobilenet_v2", help="a net of tests/contract, too")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--at-a-time", type=int, default=10, help="kills of one run")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="a new folder, which stays")
    options = parser.parse_args()
    plugins.register(numpy_backend.plugin, "numpy")
    plugins.register(ContractNets(), "nets")
    assert isotune.run and isotune.resume  # imported once, not in every process
    with tempfile.TemporaryDirectory() as place:
        root = (options.work or Path(place)).resolve()
        root.mkdir(exist_ok=True)
        # 24 images: BatchNorm on a last batch of two may blow gradients up, by their rounding.
        train, size = (3, 8) if options.backend == "numpy" else (8, 40)
        images = make_images(root / "images", train, val=2, size=size)
        if options.backend == "numpy":
            spec = smallest_experiment(images, epochs=options.epochs)
        else:
            spec = demanding_experiment(images, options.backbone, epochs=options.epochs)
        (root / "spec.yaml").write_text(yaml.safe_dump(spec))
        killer = Killer(root / "spec.yaml", options.backend, root / "log")
        check(killer, root, options.kills, options.at_a_time, random.Random(options.seed))


if __name__ == "__main__":
    main()
