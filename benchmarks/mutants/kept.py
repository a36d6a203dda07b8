"""What is kept of a mutant beside its trace: local differences, and a likely cause."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mutant import Mutant

from isotune.equivalence.certificates.certificate import Certificate
from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.local.differences import LocalDifference, LocalDifferences
from isotune.equivalence.traces.file import read_trace
from isotune.equivalence.traces.trace import Trace

SIDES = ("torch", "mindspore")


def keep(path: Path, local: LocalDifferences | None, certificate: Certificate) -> None:
    """Writes local differences, and the cause that was found with all of the evidence."""
    found: dict[str, Any] = {
        "cause": None if certificate.place is None else certificate.place.cause
    }
    if local is not None:
        pairs = {
            name: (str(each.difference), each.yardstick) for name, each in local.values.items()
        }
        found |= {"step": local.step, "values": pairs, "skipped": dict(local.skipped)}
    path.write_text(json.dumps(found) + "\n", "utf-8")


def read_kept(path: Path) -> tuple[LocalDifferences | None, dict[str, Any]]:
    """Reads what :func:`keep` has written."""
    kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if "values" not in kept:
        return None, kept
    values = {
        name: LocalDifference(float(difference), yardstick)
        for name, (difference, yardstick) in kept["values"].items()
    }
    return LocalDifferences(kept["step"], values, kept["skipped"]), kept


def judged(mutant: Mutant, folder: Path) -> dict[str, Any] | None:
    """Returns what a certificate says of a mutant; None if it was not recorded."""
    path = folder / f"{mutant.number}.json"
    if not path.exists():
        return None
    local, kept = read_kept(path)
    if "error" in kept:
        return {"found": False, "error": kept["error"]}
    other = next(side for side in SIDES if side != mutant.side)
    trace = read_trace(folder / f"{mutant.number}.trace")
    certificate = compare(read_trace(folder / f"{other}.trace"), trace, local)
    return {
        "found": mutant.found(certificate),
        "changes": changes(read_trace(folder / f"{mutant.side}.trace"), trace),
        "alone": local is not None,
        **summary(certificate),
        "cause": (certificate.place and certificate.place.cause) or kept["cause"],
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


def clean_pairs(names: list[str], work: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields what certificates say of the experiments without any change."""
    for name in names:
        folder = work / name
        if (folder / "clean.json").exists():
            local, _ = read_kept(folder / "clean.json")
            pair = read_trace(folder / "torch.trace"), read_trace(folder / "clean.trace")
            yield name, summary(compare(*pair, local))


def summary(certificate: Certificate) -> dict[str, Any]:
    """Returns what a certificate says, in short."""
    place = certificate.place
    values = [each for step in certificate.steps for each in step.values]
    worst = max(values, key=lambda each: each.difference / each.allowed, default=None)
    locals_of = [each for each in values if each.local is not None]
    alone = max(locals_of, key=lambda each: each.local / each.local_allowed, default=None)
    return {
        "verdict": certificate.verdict,
        "place": None
        if place is None
        else {
            "stage": place.stage,
            "name": place.name,
            "path": place.path,
            "kind": place.kind,
            "difference": finite(place.difference),
            "allowed": place.allowed,
        },
        "others": [f"{each.stage}/{each.name}" for each in certificate.others],
        "worst": None if worst is None else [worst.key, finite(worst.difference), worst.allowed],
        "worst_local": None
        if alone is None
        else [alone.key, finite(alone.local), alone.local_allowed],
    }


def finite(number: float | None) -> float | str | None:
    """Returns a number as JSON has it."""
    return str(number) if number is not None and not math.isfinite(number) else number
