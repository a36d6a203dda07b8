"""``isotune certify``: its four calls, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from numpy.typing import NDArray

from cli.conftest import Isotune
from numpy_backend import layers

QUICK = ("--drift", "2", "--predictions", "2")


def test_both_sides_here(isotune: Isotune, spec: Path) -> None:
    sides = ("--on", "numpy", "--on", "numpy:cpu")
    result = isotune("certify", spec, *sides, *QUICK, "--output", "found")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Equal.")
    found = json.loads(Path("found", "certificate.json").read_text())
    assert found["verdict"] == "equal"
    assert any(value["local"] == 0 for value in found["steps"][0]["values"])
    page = Path("found", "certificate.md").read_text()
    assert "certificate.png" in page
    assert Path("found", "certificate.png").stat().st_size > 5_000


def test_halves_on_two_machines(
    isotune: Isotune, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other half has a fault, which is found from either trace, and from both."""
    half = ("certify", spec, "--on", "numpy", *QUICK)
    recorded = isotune(*half, "--record", "a.trace", "--whole")
    assert recorded.exit_code == 0
    assert "a.trace: 0.1 MB." in recorded.stderr
    forward = layers.Linear.forward

    def wrong(self: layers.Linear, x: NDArray) -> NDArray:  # type: ignore[type-arg]
        return forward(self, x) * 1.001

    monkeypatch.setattr(layers.Linear, "forward", wrong)
    assert isotune(*half, "--record", "b.trace").exit_code == 0
    for call in ((*half, "--against", "a.trace"), ("certify", "a.trace", "b.trace")):
        result = isotune(*call, "--json")
        assert result.exit_code == 1, result.output
        found = json.loads(result.stdout)
        assert found["verdict"] == "differs"
        assert found["place"]["stage"] == "forward"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "two sides (--on SIDE --on SIDE)"),
        (("--on", "numpy"), "--record TRACE or --against TRACE"),
        (("--on", "numpy", "--on", "numpy", "--whole"), "--whole: is for --record"),
        (("--on", "numpy", "--on", "numpy", "--processes", "2"), "--processes: is for --record"),
        (("--on", "numpy,lr=1", "--on", "numpy"), "'lr=1' should be FIELD=VALUE"),
        (("--on", "numpyy", "--on", "numpy"), "numpyy"),
        (("--on", "numpy", "--against", "no.trace"), "no.trace"),
        (("--on", "numpy", "--record", "a", "--steps", "100"), "100 steps cannot be traced"),
        (
            ("--on", "numpy", "--record", "no/a.trace"),
            "cannot be written: its folder does not exist",
        ),
        (("--on", "numpy", "--record", "."), "cannot be written: it is a folder; name a file"),
    ],
)
def test_what_is_refused(
    isotune: Isotune, spec: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    result = isotune("certify", spec, *arguments)
    assert result.exit_code in (1, 2), result.output
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_a_folder_has_no_figure_where_nothing_draws_it(
    isotune: Isotune, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    sides = ("--on", "numpy", "--on", "numpy")
    result = isotune("certify", spec, *sides, *QUICK, "--output", "found")
    assert result.exit_code == 0, result.output
    assert "certificate.png: is not drawn: figures need matplotlib" in result.stderr
    assert {path.name for path in Path("found").iterdir()} == {
        "certificate.json",
        "certificate.md",
    }
    assert "certificate.png" not in Path("found", "certificate.md").read_text()
