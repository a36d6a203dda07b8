"""Runs the cases of a suite, and says what happened to each.

A case may be accepted, or refused with an :class:`IsotuneError` whose message is printable, of
bounded length, and one line a fault of the input. Anything else is a fault of Isotune: another
exception, or more time than :data:`SECONDS` of a processor or :data:`WAITING` in all.
"""

from __future__ import annotations

import faulthandler
import importlib
import pkgutil
import random
import shutil
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import hostile
from isotune.errors import IsotuneError
from isotune.printable import printable

SECONDS = 5
"""Time of a processor, in seconds, that a case may take. It does not depend on what else runs."""

WAITING = 30
"""Seconds that a case may take in all: one that waits for ever takes no time of a processor."""

LONGEST = 1500
"""Number of characters a line of a message may have, with its paths and lists of names."""

LINES = 100
"""Number of lines a message may have."""

Attack = Callable[[random.Random, Path], object]
"""One case: draws a hostile input, puts it into a new folder, and has Isotune take it."""


@dataclass(frozen=True)
class Suite:
    """Hostile inputs of one kind.

    Attributes:
        name: Unique name.
        cases: Number of cases in a full run.
        prepare: Makes what the cases start from, in a new folder, and returns the attack. It must
            not take a case from another: a case alone repeats what it did in the suite.
    """

    name: str
    cases: int
    prepare: Callable[[Path], Attack]


@dataclass
class Outcome:
    """What happened to the cases of a suite.

    Attributes:
        counts: Number of cases accepted and refused.
        faults: What went wrong, by the number of the case.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)


class Hang(BaseException):
    """A case took too long. Nothing that catches ``Exception`` catches it."""


def all_suites() -> dict[str, Suite]:
    """Returns every suite of the package, by name."""
    names = [module.name for module in pkgutil.iter_modules(hostile.__path__)]
    own = [name for name in names if name != "__main__" and not name.startswith("test_")]
    modules = [importlib.import_module(f"hostile.{name}") for name in own]
    return {suite.name: suite for module in modules for suite in getattr(module, "SUITES", ())}


def run_suite(suite: Suite, seed: int, cases: range) -> Outcome:
    """Runs these cases of a suite.

    A case is drawn from the seed, the suite's name and its own number, and from nothing else.
    """
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        (root / "prepared").mkdir()
        attack = suite.prepare(root / "prepared")
        for number in cases:
            folder = root / "case"
            folder.mkdir()
            rng = random.Random(f"{seed}/{suite.name}/{number}")
            fault = _judge(attack, rng, folder, outcome.counts)
            if fault:
                outcome.faults[number] = fault
            shutil.rmtree(folder)
    return outcome


def _judge(attack: Attack, rng: random.Random, folder: Path, counts: Counter[str]) -> str | None:
    try:
        with _time_limit():
            attack(rng, folder)
        counts["accepted"] += 1
    except IsotuneError as error:
        counts["refused"] += 1
        return message_fault(str(error))
    except (Exception, Hang):
        return traceback.format_exc()
    return None


def message_fault(text: str) -> str | None:
    """Returns what is wrong with a message, or None."""
    lines = text.split("\n")
    if len(lines) > LINES:
        return f"its message has {len(lines)} lines: {text[:200]!r}"
    for line in lines:
        if len(line) > LONGEST:
            return f"a line of its message has {len(line)} characters: {line[:200]!r}"
        if printable(line) != line:
            return f"its message is not printable: {line!r}"
    return None


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, SECONDS),
        signal.SIGALRM: (signal.ITIMER_REAL, WAITING),
    }
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    # Native code does not let Python's handler run: the process ends, and the suite with it.
    faulthandler.dump_traceback_later(2 * WAITING, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
