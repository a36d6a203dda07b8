"""Files of certificates: what was written is read, and anything else is one sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isotune.equivalence.certificates.certificate import Certificate
from isotune.equivalence.certificates.file import certificate_json, read_certificate
from isotune.errors import RunError
from made_certificates import chaotic, different, equal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "certificate.json"


@pytest.mark.parametrize("make", [equal, chaotic, different])
def test_what_was_written_is_read(path: Path, make: Callable[[], Certificate]) -> None:
    path.write_text(certificate_json(make()))
    assert read_certificate(path) == make()


def test_numbers_that_are_not_finite_are_text(path: Path) -> None:
    made = different()
    assert made.place is not None
    step = replace(made.steps[0], losses=(math.inf, 0.0))
    made = replace(made, steps=(step,), place=replace(made.place, difference=math.inf))
    path.write_text(certificate_json(made))
    assert json.loads(path.read_text())["place"]["difference"] == "Infinity"
    assert read_certificate(path) == made


FAULTS: dict[str, tuple[Callable[[Any], object], str]] = {
    "version": (lambda d: d.update(format=2), "has format 2; this Isotune reads format 1."),
    "other": (lambda d: d.pop("verdict"), "is no certificate; `isotune certify` writes"),
    "verdict": (lambda d: d.update(verdict="fine"), "verdict is 'fine', but should be 'equal',"),
    "number": (
        lambda d: d["steps"][0]["values"][2].update(difference="1"),
        "steps.0.values.2.difference is '1', but should be a number.",
    ),
    "drift": (
        lambda d: d["drift"]["allowed"].pop(),
        "is damaged: its drift should have a value for each step.",
    ),
    "sides": (lambda d: d["sides"].pop(), "is damaged: sides"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence(path: Path, fault: str) -> None:
    change, expected = FAULTS[fault]
    document = json.loads(certificate_json(different()))
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(RunError) as caught:
        read_certificate(path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
