"""Kills a real run at drawn moments, resumes it, and compares what it comes to.

    python tests/killing.py --backend torch --kills 50

A moment is what a process does to the run folder (a folder made, a file opened, written by half,
flushed, renamed, removed) or an event that observers see. A process counts the moments that it
passes and sends itself SIGKILL at the drawn one; the next process resumes what it left. When a
run is whole, another one begins. The clock decides nothing, and a seed always draws the same.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

sys.path.append(str(Path(__file__).parents[1] / "examples" / "numpy_backend"))  # pytest's path

import isotune
import numpy_backend.plugin
from isotune.cli.app import app
from isotune.hookspecs import hookimpl
from isotune.plugins import plugins
from outcomes import is_finished, outcome
from tiny import make_images

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
"""Audit events that change a folder, beside ``open`` for writing."""


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
        "checkpoint": {"every_steps": 1, "keep": 3, "save_best_as": "best.pth"},
    }
    return {**spec, **changes}


def smallest_experiment(images: Path, **changes: Any) -> dict[str, Any]:
    """Returns a spec for the NumPy backend with as many checkpoints, best ones among them."""
    size = {"size": 8, "padding": 1}
    return demanding_experiment(
        images,
        backbone={"name": "linear", "weights": "none"},
        transforms={"train": [{"random_crop": size}], "val": [{"resize": [8, 8]}]},
        **changes,
    )


class Moments:
    """Counts the moments that this process passes, and kills it at one of them.

    Args:
        folder: the run folder.
        fatal: the number of the moment to die at, from 1; None survives all.
    """

    def __init__(self, folder: Path, fatal: int | None) -> None:
        self.passed: list[str] = []
        self._folder = f"{folder}{os.sep}"
        self._fatal = fatal
        self._fsync = os.fsync
        os.fsync = self._flushing  # type: ignore[assignment]
        sys.addaudithook(self._audit)
        plugins.register(self)

    def _passes(self, moment: str, at_death: Callable[[], object] = lambda: None) -> None:
        self.passed.append(moment)
        if len(self.passed) == self._fatal:
            at_death()
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        opens = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax")
        if (opens or event in CHANGES) and self._is_ours(arguments[0]):
            self._passes(event)

    def _is_ours(self, path: object) -> bool:
        """Whether a path lies in the run folder, or is a bare name: inside a tree in removal."""
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        return f"{text}{os.sep}".startswith(self._folder) or (text != "" and os.sep not in text)

    def _flushing(self, descriptor: int) -> None:
        status = os.fstat(descriptor)

        def tear() -> None:
            if stat.S_ISREG(status.st_mode):
                os.ftruncate(descriptor, status.st_size // 2)

        self._passes("written by half", tear)
        self._fsync(descriptor)
        self._passes("flushed")

    @hookimpl
    def isotune_run_started(self, event: object) -> None:
        self._passes("run started")

    @hookimpl
    def isotune_step_ended(self, event: object) -> None:
        self._passes("step ended")

    @hookimpl
    def isotune_epoch_ended(self, event: object) -> None:
        self._passes("epoch ended")

    @hookimpl
    def isotune_run_finished(self, event: object) -> None:
        self._passes("run finished")


@dataclass
class Killer:
    """Runs an experiment in processes that die.

    They are forked from this one, which has imported no framework, so that each begins at once.

    Attributes:
        spec: the spec's file.
        log: a file for what the processes print.
        kills: how many of them have died so far, by the moment at which they did.
    """

    spec: Path
    backend: str
    log: Path
    kills: Counter[str] = field(default_factory=Counter)

    def whole(self, folder: Path) -> list[str]:
        """Runs it undisturbed and returns the moments that it passed."""
        moments = self._attempt(folder, None)
        assert moments is not None
        return moments

    def killed(self, folder: Path, moments: Sequence[str], fatal: Sequence[int]) -> None:
        """Runs it to its end by processes of which all but the last are killed.

        Args:
            folder: the run folder.
            moments: those of an undisturbed run.
            fatal: numbers of the moments to be killed at, from 1, ascending, counted over the
                whole run. A process that resumes passes at least the moments that were left.
        """
        before = 0
        for number in fatal:
            assert self._attempt(folder, number - before) is None
            self.kills[moments[number - 1]] += 1
            before = number
            if not (folder / "spec.yaml").exists():  # no run yet: its folder is refused
                shutil.rmtree(folder, ignore_errors=True)
        if not is_finished(folder):
            self._attempt(folder, None)

    def _attempt(self, folder: Path, fatal: int | None) -> list[str] | None:
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
            return None
        assert code == 0, self.log.read_text("utf-8")
        return moments

    def _live(self, folder: Path, fatal: int | None, told: int) -> int:
        with self.log.open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        begun = (folder / "spec.yaml").exists()
        what = ["resume", str(folder)] if begun else ["run", str(self.spec), "-o", str(folder)]
        moments = Moments(folder, fatal)
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

    Raises:
        AssertionError: a run that was killed came to other bytes than one that was not.
    """
    moments = killer.whole(root / "whole")
    expected, runs, folder = outcome(root / "whole"), 0, root / "whole"
    drawn = rng.sample(range(1, len(moments) + 1), min(kills, len(moments)))
    while drawn:
        folder, runs = root / f"killed-{runs}", runs + 1
        fatal, drawn = sorted(drawn[:at_a_time]), drawn[at_a_time:]
        killer.killed(folder, moments, fatal)
        assert outcome(folder) == expected, f"killed at {fatal} of {len(moments)}: differs"
        if drawn:
            shutil.rmtree(folder)
    told = ", ".join(f"{moment} {count}" for moment, count in sorted(killer.kills.items()))
    print(f"{killer.kills.total()} kills at {len(moments)} moments, {runs} runs, the same bytes:")
    print(told)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--at-a-time", type=int, default=10, help="kills of one run")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="a new folder, which stays")
    options = parser.parse_args()
    plugins.register(numpy_backend.plugin, "numpy")
    assert isotune.run and isotune.resume  # imported once, not in every process
    with tempfile.TemporaryDirectory() as place:
        root = (options.work or Path(place)).resolve()
        root.mkdir(exist_ok=True)
        # 24 images: BatchNorm on a last batch of two may blow gradients up, by their rounding.
        train, size = (3, 8) if options.backend == "numpy" else (8, 40)
        images = make_images(root / "images", train, val=2, size=size)
        make = smallest_experiment if options.backend == "numpy" else demanding_experiment
        spec = make(images, epochs=options.epochs)
        (root / "spec.yaml").write_text(yaml.safe_dump(spec))
        killer = Killer(root / "spec.yaml", options.backend, root / "log")
        check(killer, root, options.kills, options.at_a_time, random.Random(options.seed))


if __name__ == "__main__":
    main()
