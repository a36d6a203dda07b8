"""The study of mutants: what counts as found, and that its list is what the page says."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from isotune.equivalence.certificates.certificate import Certificate, Place
from made_traces import made_side

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks" / "mutants"))
from mutant import Mutant, read_list

LAYER = Mutant(1, "net", "torch", "norm_eps", "eps", "stage2.bn1")
UPDATE = Mutant(2, "net", "torch", "part_scaled", "rate", stages=("update",), names=("layer3.",))


def certificate(stage: str, name: str, path: str | None) -> Certificate:
    place = Place(stage, name, 0, path)  # type: ignore[arg-type]
    return Certificate((made_side(), made_side()), "differs", True, (), place=place)


def test_a_layer_is_found_by_its_path_and_by_what_it_holds() -> None:
    assert LAYER.found(certificate("forward", "stage2.bn1:1", "stage2.bn1"))
    assert LAYER.found(certificate("state", "stage2.bn1.running_var", None))
    assert LAYER.found(certificate("state", "stage2.bn1.weight/momentum_buffer", None))


@pytest.mark.parametrize("path", ["stage2", "stage2.bn10", "stage2.bn1.part", "", None])
def test_neither_a_neighbor_nor_a_container_counts(path: str | None) -> None:
    assert not LAYER.found(certificate("forward", "elsewhere", path))


def test_a_step_is_found_by_its_stage_and_the_names_it_concerns() -> None:
    right = certificate("update", "layer3.0.conv1.weight", "layer3.0.conv1")
    assert UPDATE.found(right)
    assert not UPDATE.found(replace(right, verdict="equal"))
    assert not UPDATE.found(certificate("state", "layer3.0.conv1.weight", "layer3.0.conv1"))
    assert not UPDATE.found(certificate("update", "layer4.0.conv1.weight", "layer4.0.conv1"))


def test_the_list_has_both_sides_alike_over_many_networks() -> None:
    mutants = read_list()
    sides = Counter(each.side for each in mutants)
    networks = {each.experiment for each in mutants if each.path}
    assert [each.number for each in mutants] == list(range(1, len(mutants) + 1))
    assert sides["torch"] == sides["mindspore"] >= 50
    assert len(networks) >= 12
    assert all(each.path or each.stages for each in mutants)  # or anything would count
