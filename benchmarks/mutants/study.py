"""Records the mutants of an experiment, and what their layers make of the other backend's inputs.

Judging them is a step of its own, which only reads what is kept here: no framework is needed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from apply import mutated
from experiments import EXPERIMENTS, changed_spec, prepare
from kept import SIDES, keep
from mutant import Mutant, read_list

from isotune.equivalence.companions import CompareLocally, RecordWhole
from isotune.equivalence.compare import compare
from isotune.equivalence.record import record
from isotune.equivalence.recording import Companion, Recording
from isotune.equivalence.trace import Trace
from isotune.equivalence.trace_file import write_trace
from isotune.errors import IsotuneError
from isotune.plugins import plugins
from isotune.spec.experiment import ExperimentSpec
from isotune_mindspore.step import pynative_mode


def study(name: str, work: Path) -> None:
    """Records the mutants of an experiment of which nothing is kept yet."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    mutants = [each for each in read_list() if each.experiment == name]
    left = [each for each in mutants if not (folder / f"{each.number}.json").exists()]
    if not left and (folder / "clean.json").exists():
        return
    spec = prepare(EXPERIMENTS[name], folder)
    with nothing_compiled():
        clean = {side: traced(spec, side, RecordWhole(folder)) for side in SIDES}
        for side, trace in clean.items():
            write_trace(folder / f"{side}.trace", without_whole(trace))
        if not (folder / "clean.json").exists():
            against(clean["torch"], spec, "mindspore", folder, "clean")
        for mutant in left:
            record_mutant(mutant, changed_spec(spec, mutant.change, folder), clean, folder)


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """Lets MindSpore make the steps themselves in PyNative mode, too, which saves much time."""
    with patch("isotune_mindspore.step.graph_mode", pynative_mode):
        yield


def traced(spec: ExperimentSpec, side: str, companion: Companion, variants: bool = True) -> Trace:
    return record(
        spec, side, "cpu", plugins, Recording(1, 0, 0, variants=variants), None, companion
    )


def without_whole(trace: Trace) -> Trace:
    """Returns a trace without its whole arrays."""
    from dataclasses import replace

    return replace(trace, steps=tuple(replace(step, whole={}) for step in trace.steps))


def record_mutant(
    mutant: Mutant, spec: ExperimentSpec, clean: Mapping[str, Trace], folder: Path
) -> None:
    """Records a mutant beside the other backend as it is."""
    other = next(side for side in SIDES if side != mutant.side)
    try:
        with mutated(mutant):
            against(clean[other], spec, mutant.side, folder, str(mutant.number))
    except IsotuneError as error:
        path = folder / f"{mutant.number}.json"
        path.write_text(json.dumps({"error": str(error)}) + "\n", "utf-8")
        print(mutant, error, flush=True)


def against(one: Trace, spec: ExperimentSpec, side: str, folder: Path, name: str) -> None:
    """Records a side beside a recorded one; keeps its trace and its local differences."""
    begin = time.perf_counter()
    companion = CompareLocally(one)
    trace = traced(spec, side, companion, variants=False)
    write_trace(folder / f"{name}.trace", trace)
    certificate = compare(one, trace, companion.found)
    keep(folder / f"{name}.json", companion.found, certificate)
    place, seconds = certificate.place, time.perf_counter() - begin
    at = f"{place.stage}/{place.name} in {place.path}" if place else ""
    print(f"{folder.name} {name}: {certificate.verdict} {at} ({seconds:.1f} s)", flush=True)
