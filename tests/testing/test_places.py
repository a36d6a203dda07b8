"""A test of the contract that fails says where the backend and the reference part."""

from __future__ import annotations

import runpy
from dataclasses import replace

import pytest

from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import AdamWSpec
from isotune.testing.cases import PLAN, updates
from isotune.testing.nets import NETS
from isotune.testing.places import place_of, place_shown
from isotune.testing.subject import Subject
from numpy_backend.backend import NumpyBackend
from testing.inner import CONTRACT, Recorder, run_contract
from testing.mutants import MUTANTS

EXAMPLE = runpy.run_path(str(CONTRACT))["TestContract"]()
"""The contract's class for the example backend: it has the nets."""

PLANS = {
    "accumulated": PLAN,
    "divided": replace(PLAN, shards=2),
    "adamw": TrainingPlan(AdamWSpec(name="adamw", weight_decay=0.1), averages=True),
}
PLACES = {
    "takes_another_epsilon_in_batch_norm": (
        "test_gradients_through_every_layer and tiny_bn",
        "the output of 'bn' (BatchNorm2d) in step 0",
        "eps",
    ),
    "keeps_the_biased_variance": (
        "test_gradients_through_every_layer and tiny_bn",
        "the state 'bn.running_var' (BatchNorm2d) after the update in step 0",
        "layer: 'bn'",
    ),
    "takes_batch_statistics_for_constants_in_gradients": (
        "test_gradients_through_every_layer and tiny_bn",
        "the gradient of the output of 'conv'",
        "layer: 'bn' (BatchNorm2d)",
    ),
    "drops_the_same_at_every_step": (
        "test_masks_differ_between_shards",
        "the output of 'stem.drop' (Dropout) in step 1",
        "layer: 'stem.drop' (Dropout)",
    ),
    "approximates_gelu": (
        "test_mlp_head_with_dropout and gelu",
        "the output of 'fc.1' (GELU) in step 0",
        "layer: 'fc.1' (GELU)",
    ),
    "ignores_the_loss_scale": (
        "test_an_update_is_that_of_one_larger_batch and nesterov",
        "the gradient of the output of the model in step 0",
        "",
    ),
    "takes_nesterov_for_plain_momentum": (
        "test_update_rule and nesterov and not decay",
        "the update of 'fc.weight' (Linear) in step 0",
        "Likely cause: numpy on cpu fits",
    ),
}
"""For a mutant: which test is run, and two texts that its report has."""


@pytest.mark.parametrize("name", PLACES)
def test_the_report_of_a_broken_copy_names_the_place(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    test, *texts = PLACES[name]
    MUTANTS[name](monkeypatch)
    found = Recorder(stop=True)
    run_contract(CONTRACT, found, "-k", test, "--tb=short")
    printed = capsys.readouterr().out
    assert len(found.failed) == 1
    assert "isotune.equivalence compares numpy (side 1) and the reference (side 2)." in printed
    assert all(text in printed for text in texts)


@pytest.mark.parametrize("net", ["linear", "tiny_bn", "tiny_dropout"])
@pytest.mark.parametrize("plan", PLANS)
def test_no_place_is_found_where_nothing_is_wrong(net: str, plan: str) -> None:
    chosen = PLANS[plan]
    subject = Subject(NumpyBackend("cpu"), NETS[net].entry, getattr(EXAMPLE, net))
    sizes = [[4, 3], [2]] if chosen.accumulate > 1 else [[4], [3]]
    found = place_of(subject.learner(chosen), subject.reference(chosen), updates("clean", sizes))
    assert found == "isotune.equivalence finds no place: all updates are those of the reference."


def test_a_place_needs_a_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = NumpyBackend("cpu")
    monkeypatch.setattr(backend, "tracer", None)
    subject = Subject(backend, NETS["linear"].entry, EXAMPLE.linear)
    found = place_of(subject.learner(PLAN), subject.reference(PLAN), updates("clean", [[2]]))
    assert found.startswith("Backend.tracer is None")


def test_what_breaks_while_a_place_is_looked_for_hides_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = NumpyBackend("cpu")
    monkeypatch.setattr(backend.tracer, "watch", None)
    subject = Subject(backend, NETS["linear"].entry, EXAMPLE.linear)
    learner, reference = subject.learner(PLAN), subject.reference(PLAN)
    with (
        pytest.raises(AssertionError, match=r"5 is not 4\n\n.* finds no place: TypeError: "),
        place_shown(learner, reference, updates("clean", [[2]])),
    ):
        raise AssertionError("5 is not 4")
