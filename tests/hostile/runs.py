"""Run folders that a stranger made: commands take them, or say what is wrong."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import isotune
import numpy_backend.plugin
from hostile.commands import called
from hostile.harness import Attack, Suite
from hostile.run_mutations import MUTATIONS
from isotune.errors import RunError, StoppedError
from isotune.hookspecs import hookimpl
from isotune.interfaces.events import StepEnded
from isotune.plugins import plugins
from tiny import experiment, make_images, numpy_plugins

MOST_STEPS = 50
"""A resumed run may ask for any number of epochs; this many steps of it are enough."""


class Limit:
    """Ends a run after some steps."""

    def __init__(self) -> None:
        self.steps = 0

    @hookimpl
    def isotune_step_ended(self, event: StepEnded) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise RunError("this is enough")


class StopAtOnce:
    """Leaves a run unfinished, in the middle of its second epoch."""

    def isotune_step_ended(self, event: StepEnded) -> None:
        if event.epoch == 2:
            event.stop.request("the suite")


def prepare(folder: Path) -> Attack:
    limit = Limit()
    images = make_images(folder / "images", train=2, val=1)
    spec = experiment(
        images,
        batch_size=2,
        optimizer={"name": "adam", "lr": 0.01},
        ema={"decay": 0.9},
        checkpoint={"every_steps": 2, "keep": 3, "save_best_as": "best.pth"},
    )
    for name, observers in (("finished", []), ("unfinished", [StopAtOnce()])):
        with suppress(StoppedError):
            isotune.run(
                spec,
                backend="numpy",
                output=folder / name,
                observers=observers,
                plugins=numpy_plugins(),
            )
    (folder / "outside/epoch-0001").mkdir(parents=True)
    shutil.copytree(folder / "finished", folder / "outside/run")
    (folder / "outside/epoch-0001/precious").write_text("precious")
    (folder / "outside/lock").write_text("4711\n")
    image = str(next(images.glob("val/*/*.png")))

    called(["show", "curves", folder / "finished"], folder / "home")  # imports matplotlib

    def attack(rng: random.Random, case: Path) -> None:
        run, outside = case / "run", case / "outside"
        shutil.copytree(folder / rng.choice(["finished", "unfinished"]), run)
        shutil.copytree(folder / "outside", outside)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            rng.choice(MUTATIONS)(rng, run, outside)
        before, limit.steps = contents(outside), 0
        draws = ["show", "curves", run] if rng.random() < 0.05 else ["convert", run, case / "w.pth"]
        commands = [
            ["compare", run, folder / "finished"],
            ["evaluate", run],
            ["predict", run, image],
            draws,
            ["resume", run],
        ]
        with registered(limit):
            refusals = [said for command in commands if (said := called(command, case / "home"))]
        assert contents(outside) == before, "something outside the run folder has changed"
        strange = {path.name for path in case.iterdir()} - {"run", "outside", "home", "w.pth"}
        assert not strange, f"beside the run folder there is {strange}"
        if refusals:
            raise RunError(refusals[-1])

    return attack


@contextmanager
def registered(limit: Limit) -> Iterator[None]:
    """Lets the command line find the NumPy backend, and ends its runs early."""
    plugins.register(numpy_backend.plugin, "numpy")
    plugins.register(limit, "limit")
    try:
        yield
    finally:
        plugins.unregister(limit)
        plugins.unregister(numpy_backend.plugin)


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Returns type and content of all that is in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(folder))] = (status.st_mode, content)
    return found


SUITES = (Suite("runs", 2_000, prepare),)
