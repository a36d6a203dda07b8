"""Certificates in words and as a figure."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isotune.equivalence.certificates.certificate import Certificate, ComparedDrift, Flip, Place
from isotune.equivalence.certificates.figure import certificate_figure
from isotune.equivalence.certificates.report import (
    certificate_markdown,
    certificate_text,
    place_text,
)
from isotune.equivalence.certificates.wording import place_sentence, side_names
from isotune.reports.drawing import write_figure
from made_certificates import chaotic, different, equal
from made_traces import made_side


def place(**changes: object) -> Place:
    found = different().place
    assert found is not None
    return replace(found, **changes)  # type: ignore[arg-type]


def test_a_verdict_is_a_sentence() -> None:
    assert certificate_text(equal()).startswith(
        "Equal. In 1 training step, numpy on cpu and tensors on cpu differ by no more than"
    )
    assert certificate_text(chaotic()).startswith(
        "Equal up to chaos. numpy on cpu and tensors on cpu compute the same single step. After 8"
        " steps their weights are 5.1e-05 apart; when something changes that ought not to matter,"
        " each is 1.7e-05 and 1.4e-05 apart from itself."
    )
    assert certificate_text(different()).startswith(
        "Differs. numpy on cpu and tensors on cpu do not compute the same. The first place is the"
        " output of 'layer2.0.conv1' (Conv2d) in step 0, which differs by 0.0021, where rounding"
        " explains 1.3e-06. Likely cause: the padding differs: (1, 1) and (0, 0).\n"
        "  settings of side 1: padding (1, 1)\n"
        "  settings of side 2: padding (0, 0)\n"
        "  values of side 1: "
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stage": "batch", "name": "", "kind": None}, "the batch in step 0"),
        ({"stage": "forward", "name": ""}, "the output of the model in step 0"),
        ({"stage": "start", "name": "fc.weight", "step": None}, "the start of 'fc.weight'."),
        ({"stage": "update", "name": "fc.bias", "kind": None}, "the update of 'fc.bias' in step 0"),
        ({"stage": "drift", "name": "", "step": 3}, "how training goes on in step 3"),
    ],
)
def test_a_place_is_a_sentence(changes: dict[str, object], said: str) -> None:
    made = place(difference=None, allowed=None, cause=None, **changes)
    assert place_sentence(made) == f"The first place is {said.rstrip('.')}."


def test_sides_are_told_apart_by_what_differs() -> None:
    one = made_side(versions={"numpy": "2.0", "a": "1"})
    assert side_names((one, made_side("tensors"))) == ("numpy on cpu", "tensors on cpu")
    other = replace(one, precision="bf16", processes=2, versions={"numpy": "2.1", "a": "1"})
    assert side_names((one, other)) == (
        "numpy on cpu (fp32, 1 process, numpy 2.0)",
        "numpy on cpu (bf16, 2 processes, numpy 2.1)",
    )
    assert len(set(side_names((one, one)))) == 2


def test_a_page_has_all_that_was_found() -> None:
    page = certificate_markdown(different(), "certificate.png")
    headings = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert headings == [
        *("Where they part", "Sides", "Checks", "Worst values", "Drift", "Predictions", "Notes")
    ]
    assert "![Differences by depth](certificate.png)" in page
    assert "| padding | (1, 1) | (0, 0) |" in page
    assert "| norm | 40.91 | 38.77 |" in page
    assert "| step 0: forward | 8 differ | 12 | layer2.1.conv2 | 0.00374 | 1.6e-06 |" in page
    assert "the update of 'layer3.1.conv2.weight' in step 0, by 0.5" in page
    assert "forward/layer3.pool" in page


def test_flips_are_listed_the_clearest_first() -> None:
    found = chaotic().predictions
    assert found is not None
    more = Flip(image=3, predicted=("bees", "ants"), margin=0.5, noise=0.6)
    made = equal(predictions=replace(found, flips=(*found.flips, more)))
    page = certificate_markdown(made)
    assert page.index("| 3 | bees | ants | 0.5 | 0.6 |") < page.index("| 17 | ants | bees |")
    assert "Of 256 validation images, 2 are predicted differently" in page


def test_names_from_a_file_are_text_and_nothing_else() -> None:
    odd = "a|b`<script>\x1b[2J\n# c"
    made = different()
    sides = made_side(versions={odd: odd}), made_side(odd, machine={odd: odd})
    assert made.drift is not None
    drift = replace(made.drift, themselves=({odd: (1.0,) * 8}, {}))
    parted = place(
        name=odd, kind=odd, cause=odd, settings=({odd: odd}, {}), summaries=({}, {odd: odd})
    )
    made = replace(made, sides=sides, place=parted, drift=drift, notes=(odd,))
    page = certificate_markdown(made)
    assert "<script>" not in page and "\x1b" not in page
    assert sum(line.startswith("# ") for line in page.splitlines()) == 1
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert len(tables) == 6
    assert all(line.isprintable() for line in certificate_text(made).splitlines())
    assert all(line.isprintable() for line in place_text(parted).splitlines())


def test_figures_show_accumulated_and_local_differences(tmp_path: Path) -> None:
    figure = certificate_figure(different())
    depth, drift = figure.axes
    lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in depth.lines}
    values = different().steps[0].values
    np.testing.assert_allclose(lines["accumulated"][1:], [v.difference for v in values][1:])
    assert 0 < lines["accumulated"][0] < 1e-8, "equal values lie on the lower edge"
    np.testing.assert_allclose(lines["local"], [v.local for v in values if v.local is not None])
    np.testing.assert_allclose(lines["allowed"], [v.allowed for v in values])
    assert "layer2.0.conv1" in {text.get_text() for text in depth.texts}
    assert len(drift.lines) == 4
    assert write_figure(figure, tmp_path / "a.png").stat().st_size > 10_000


def broken() -> Certificate:
    """Returns a certificate with numbers that no axis has."""
    made = different()
    values = tuple(replace(v, difference=math.inf, allowed=0.0) for v in made.steps[0].values)
    steps = (replace(made.steps[0], losses=(math.nan, math.inf), values=values),)
    nothing = ComparedDrift((0.0, math.inf), ({}, {}), ((1.0, math.nan),) * 2, (0.0, 0.0))
    return replace(made, steps=steps, drift=nothing)


@pytest.mark.parametrize(
    "made", [broken(), equal(steps=(), drift=None), equal(drift=None, predictions=None)]
)
def test_anything_can_be_shown(made: Certificate, tmp_path: Path) -> None:
    assert certificate_markdown(made).startswith("# Certificate")
    assert certificate_text(made)
    write_figure(certificate_figure(made), tmp_path / "a.svg")
