"""Peers are pinned, each has its script, and the page says who was compared with what result."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks" / "peers"))
from pairs import Deadline, Part, measure
from peers_page import render
from sides import PEERS, WORKS, peer_command

ROOT = Path(__file__).resolve().parents[2]
PEERS_FOLDER = ROOT / "benchmarks" / "peers"
PINNED = re.compile(r"([a-z0-9-]+)==[\w.]+(; python_version [<>=]+ \"[\d.]+\")?")


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]


def test_all_that_the_environment_needs_is_pinned_by_name_and_version_alone() -> None:
    own = [PINNED.fullmatch(line) for line in lines(PEERS_FOLDER / "constraints.txt")]
    assert all(own)
    both = {found[1] for found in own if found}
    both |= {found[1] for line in lines(ROOT / "constraints.txt") if (found := PINNED.match(line))}
    assert set(lines(PEERS_FOLDER / "requirements.txt")) <= both


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("name", PEERS)
def test_every_peer_has_a_script_for_all_work(name: str, work: str) -> None:
    script, *options = peer_command(name, work)
    assert Path(script).is_file()
    assert ("--frozen" in options) == (work == "frozen")


def test_the_page_has_ratios_and_both_accuracies(tmp_path: Path) -> None:
    def side(cpu: float, accuracy: float):
        return lambda number: {"cpu": cpu + number, "wall": cpu, "accuracy": accuracy, "load": 1.0}

    settings = {
        "model": "tiny", "data": "images", "size": 8, "batch": 2, "epochs": 1,
        "peer": "fastai", "work": "finetune", "threads": 1,
    }  # fmt: skip
    part = Part(
        "finetune-1-fastai", "fine-tuning", settings, side(10.0, 0.5), side(4.0, 0.75),
        ratios={"cpu": None, "wall": None}, names=("fastai", "isotune"),
    )  # fmt: skip
    measure([part], 2, Deadline(1), tmp_path)
    saved = json.loads((tmp_path / "finetune-1-fastai.json").read_text("utf-8"))
    saved["versions"]["torch"] = "2"  # which this environment may lack
    (tmp_path / "finetune-1-fastai.json").write_text(json.dumps(saved), "utf-8")
    page = render(tmp_path)
    assert "the load was 1 to 1:" in page
    assert "## Fine-tuning, one compute thread" in page
    row = next(line for line in page.splitlines() if line.startswith("| fastai"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:5] == ["10.5", "4.50", "0.43", "0.40 to 0.45"]
    assert cells[-3:] == ["0.500", "0.750", "2"]
