"""Records the mutants of an experiment, and what their layers make of the other backend's inputs.

Judging them is a step of its own, which only reads what is kept here: no framework is needed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from apply import mutated
from experiments import EXPERIMENTS, changed_spec, prepare
from kept import SIDES, keep
from mutant import Mutant, read_list

from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.local.companions import CompareLocally, RecordWhole
from isotune.equivalence.recording.record import record
from isotune.equivalence.recording.steps import NO_COMPANION, Companion, Recording
from isotune.equivalence.traces.file import read_trace, write_trace
from isotune.equivalence.traces.trace import Trace
from isotune.errors import IsotuneError
from isotune.plugins import plugins
from isotune.spec.experiment import ExperimentSpec
from isotune_mindspore.step import pynative_mode

CLEAN = "clean"
"""Name of the pair without a change."""


def study(name: str, work: Path, alone: Sequence[int] = ()) -> None:
    """Records the mutants of an experiment of which nothing is kept yet.

    Args:
        name: The experiment's name.
        work: Folder of what is kept.
        alone: Numbers of the mutants whose layers also run alone, on what the other side's layers
            had; 0 is the side without a change.
    """
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    mutants = [each for each in read_list() if each.experiment == name]
    files = {each.number: folder / f"{each.number}.json" for each in mutants}
    left = [each for each in mutants if not files[each.number].exists() or each.number in alone]
    if not left and (folder / "clean.json").exists():
        return
    spec = prepare(EXPERIMENTS[name], folder)
    needed = {SIDES[1 - SIDES.index(each.side)] for each in left if each.number in alone}
    with nothing_compiled():
        clean = {side: known(spec, side, folder, side in needed or 0 in alone) for side in SIDES}
        if 0 in alone or not (folder / "clean.json").exists():
            against(clean["torch"], spec, "mindspore", folder, CLEAN)
        for mutant in left:
            one = clean[SIDES[1 - SIDES.index(mutant.side)]]
            one = one if mutant.number in alone else without_whole(one)
            record_mutant(mutant, changed_spec(spec, mutant.change, folder), one, folder)


def known(spec: ExperimentSpec, side: str, folder: Path, whole: bool) -> Trace:
    """Returns the trace of a side without a change, recorded before unless arrays are needed."""
    path = folder / f"{side}.trace"
    if path.exists() and not whole:
        return read_trace(path)
    trace = traced(spec, side, RecordWhole(folder) if whole else NO_COMPANION)
    write_trace(path, without_whole(trace))
    return trace


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """Lets MindSpore make the steps themselves in PyNative mode, too, which saves much time."""
    with patch("isotune_mindspore.step.graph_mode", pynative_mode):
        yield


def traced(spec: ExperimentSpec, side: str, companion: Companion, yardsticks: bool = True) -> Trace:
    """Records a step; without yardsticks, those of the other side have to do."""
    where = spec, side, "cpu", plugins, Recording(1, 0, 0)
    if yardsticks:
        return record(*where, companion=companion)
    with patch("isotune.equivalence.recording.steps.variants_of", lambda *_: {}):
        return record(*where, companion=companion)


def without_whole(trace: Trace) -> Trace:
    """Returns a trace without its whole arrays."""
    steps = (replace(step, whole={}, runs={}, run_yardsticks={}) for step in trace.steps)
    return replace(trace, steps=tuple(steps))


def record_mutant(mutant: Mutant, spec: ExperimentSpec, clean: Trace, folder: Path) -> None:
    """Records a mutant beside the other backend as it is."""
    try:
        with mutated(mutant):
            against(clean, spec, mutant.side, folder, str(mutant.number))
    except IsotuneError as error:
        path = folder / f"{mutant.number}.json"
        path.write_text(json.dumps({"error": str(error)}) + "\n", "utf-8")
        print(mutant, error, flush=True)


def against(one: Trace, spec: ExperimentSpec, side: str, folder: Path, name: str) -> None:
    """Records a side beside a recorded one; keeps its trace and its local differences."""
    begin = time.perf_counter()
    companion = CompareLocally(one)  # finds nothing in a trace without whole arrays
    # PyTorch's BatchNorm differs between memory formats by what only its own yardsticks show.
    trace = traced(spec, side, companion, yardsticks=name == CLEAN or side == "torch")
    write_trace(folder / f"{name}.trace", trace)
    certificate = compare(one, trace, companion.found)
    keep(folder / f"{name}.json", companion.found, certificate)
    place, seconds = certificate.place, time.perf_counter() - begin
    at = f"{place.stage}/{place.name} in {place.path}" if place else ""
    print(f"{folder.name} {name}: {certificate.verdict} {at} ({seconds:.1f} s)", flush=True)
