"""Records the mutants of an experiment and compares each with the other backend as it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from apply import mutated
from experiments import EXPERIMENTS, changed_spec, prepare
from isotune.equivalence.compare import compare
from isotune.equivalence.record import record
from isotune.equivalence.recording import Recording
from mutant import Mutant, read_list

from isotune.equivalence.certificate import Certificate, Place
from isotune.equivalence.trace import Trace
from isotune.equivalence.trace_file import write_trace
from isotune.errors import IsotuneError
from isotune.plugins import plugins
from isotune_mindspore.step import pynative_mode

SIDES = ("torch", "mindspore")


def study(name: str, work: Path) -> None:
    """Judges the mutants of an experiment, of which nothing is saved yet."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    mutants = [each for each in read_list() if each.experiment == name]
    left = [each for each in mutants if not (folder / f"{each.number}.json").exists()]
    clean_file = folder / "clean.json"
    if not left and clean_file.exists():
        return
    spec = prepare(EXPERIMENTS[name], folder)
    with nothing_compiled():
        clean = {side: record(spec, side, "cpu", plugins, Recording(1, 0, 0)) for side in SIDES}
        for side, trace in clean.items():
            write_trace(folder / f"{side}.trace", trace)
        save(clean_file, summary(compare(clean["torch"], clean["mindspore"])))
        for mutant in left:
            changed = changed_spec(spec, mutant.change, folder)
            save(folder / f"{mutant.number}.json", judged(mutant, changed, clean, folder))


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """Lets MindSpore make the steps themselves in PyNative mode, too, which saves much time."""
    with patch("isotune_mindspore.step.graph_mode", pynative_mode):
        yield


def judged(mutant: Mutant, spec: Any, clean: Mapping[str, Trace], folder: Path) -> dict[str, Any]:
    """Returns what a certificate says of a mutant; writes its trace into the folder."""
    begin = time.perf_counter()
    other = next(side for side in SIDES if side != mutant.side)
    try:
        with mutated(mutant):
            trace = record(spec, mutant.side, "cpu", plugins, Recording(1, 0, 0, variants=False))
    except IsotuneError as error:
        return {"mutant": mutant.number, "found": False, "error": str(error)}
    write_trace(folder / f"{mutant.number}.trace", trace)
    certificate = compare(clean[other], trace)
    return {
        "mutant": mutant.number,
        "found": mutant.found(certificate),
        "changes": changes(clean[mutant.side], trace),
        **summary(certificate),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def changes(clean: Trace, mutant: Trace) -> bool:
    """Whether the mutant computes anything else than its side does without the change."""
    if clean.start != mutant.start or clean.classes != mutant.classes:
        return True
    one, other = clean.steps[0], mutant.steps[0]
    return one.batch != other.batch or any(
        name not in other.values or not np.array_equal(value.samples, other.values[name].samples)
        for name, value in one.values.items()
    )


def summary(certificate: Certificate) -> dict[str, Any]:
    """Returns what a certificate says, in short."""
    place = certificate.place
    return {
        "verdict": certificate.verdict,
        "place": None if place is None else described(place),
        "others": [described(each) for each in certificate.others[:3]],
        "worst": worst(certificate),
    }


def described(place: Place) -> dict[str, Any]:
    """Returns a place as plain values."""
    names = ("stage", "name", "path", "kind", "difference", "allowed", "cause")
    return {name: getattr(place, name) for name in names}


def worst(certificate: Certificate) -> dict[str, Any] | None:
    """Returns the value that comes closest to what is allowed, or exceeds it most."""
    values = [each for step in certificate.steps for each in step.values]
    largest = max(values, key=lambda each: each.difference / each.allowed, default=None)
    if largest is None:
        return None
    return {
        "key": largest.key,
        "difference": largest.difference,
        "allowed": largest.allowed,
        "yardstick": largest.yardstick,
    }


def save(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, default=float, indent=1) + "\n", "utf-8")
    print(path.parent.name, path.stem, json.dumps(values, default=float)[:400], flush=True)
