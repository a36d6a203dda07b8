"""Search spaces: what their files may say, the specs that they make, and their messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from isotune.errors import SpecError
from isotune.spec.load import SpecDraft, read_spec
from isotune.spec.space.check import open_space
from isotune.spec.space.parameters import Choices, Parameter, Space, Value, walk
from tiny import experiment


@pytest.fixture
def draft() -> SpecDraft:
    return read_spec(experiment(Path("images"), optimizer={"name": "sgd"}))


def opened(text: str, draft: SpecDraft, tmp_path: Path) -> Space:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return open_space(path, draft)[0]


def last(parameter: Parameter) -> Value:
    return parameter.domain.ends()[-1]


def test_values_are_whole_where_the_field_is(draft: SpecDraft, tmp_path: Path) -> None:
    space = opened(
        "batch_size: {low: 2, high: 8}\n"
        "optimizer.weight_decay: {low: 0, high: 1}\n"
        "optimizer.momentum: {low: 0, high: 0.9, step: 0.1}\n"
        "accumulate: {low: 1, high: 4, log: true}\n",
        draft,
        tmp_path,
    )
    whole, real, stepped, log = (parameter.domain for parameter in space.parameters)
    assert [whole.size, real.size, stepped.size, log.size] == [7, None, 10, 4]
    assert space.size is None
    assert [repr(d.rounded(1 / 3)) for d in (real, stepped)] == ["0.3333333333333333", "0.3"]  # type: ignore[union-attr]
    spec = space.spec(draft, space.pick(last))
    assert (spec.batch_size, spec.optimizer.weight_decay, spec.accumulate) == (8, 1.0, 4)


def test_a_choice_brings_what_varies_inside_of_it(draft: SpecDraft, tmp_path: Path) -> None:
    space = opened(
        "optimizer:\n"
        "  - sgd\n"
        "  - {name: adamw, lr: {low: 1e-4, high: 1e-2, log: true}, betas: [0.8, 0.9]}\n"
        "head:\n"
        "  - linear\n"
        "  - {name: mlp, hidden: {choices: [[4], [4, 2]]}, activation: tanh}\n"
        "optimizer.weight_decay: {low: 0, high: 0.1, step: 0.05}\n",
        draft,
        tmp_path,
    )
    names = [parameter.name for parameter, _ in walk(space.parameters)]
    assert names == [
        "optimizer", "optimizer.lr[adamw]", "head", "head.hidden[mlp]", "optimizer.weight_decay"
    ]  # fmt: skip
    first = space.pick(lambda parameter: parameter.domain.ends()[0])
    assert first == {"optimizer": "sgd", "head": "linear", "optimizer.weight_decay": 0.0}
    spec = space.spec(draft, space.pick(last))
    assert spec.optimizer.model_dump() == {
        **spec.optimizer.model_dump(), "name": "adamw", "lr": 0.01, "betas": (0.8, 0.9),
        "weight_decay": 0.1,
    }  # fmt: skip
    assert spec.head.model_dump()["hidden"] == (4, 2)
    head = next(each for each in space.parameters if each.name == "head")
    assert isinstance(head.domain, Choices)
    assert head.domain.size == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("optimizer.lr: {low: -1, high: 0.1}", ":1: optimizer.lr is -1.0, but should be above 0."),
        ("\noptimizer.lrr: [1]", ":2: optimizer.lrr is not a known key. Did you mean 'lr'?"),
        ("epochs: 3", ":1: epochs is 3, but should be a list of choices or a range such as"),
        ("epochs: {lo: 1, high: 2}", ":1: epochs.lo is not a known key. Did you mean 'low'?"),
        ("epochs: {low: 1}", ":1: epochs.high is missing."),
        ("epochs: {low: 2, high: 1}", ":1: epochs: low, 2, should be below high, 1."),
        ("epochs: {low: 1, high: 2.5}", ":1: epochs is 1.0, but should be a whole number."),
        ("epochs: {low: 1, high: .inf}", ":1: epochs.high is inf, but should be a finite number."),
        ("epochs: []", ":1: epochs is [], but should be a list that is not empty."),
        ("batch_size: [2, 4, 2]", ":1: batch_size: holds a choice twice."),
        ("optimizer.lr: {low: 0, high: 1, log: true}", "low should be above 0 on a logarithmic"),
        ("optimizer.lr: {low: 1, high: 2, step: 0.3}", "whole steps above low, such as 2.2"),
        ("optimizer.lr: {low: 1, high: 2, step: 1, log: true}", "leave one of them out"),
        ("head: [{name: mlp, dropout: {low: 0, hig: 1}}]", ":1: head.0.dropout.hig is not a kn"),
        ("checkpoint.monitor: [val_loss, val_accuracy]", "trials are compared by it"),
        ("optimizer.lr: [1]\noptimizer: [sgd]", ":2: optimizer would replace optimizer.lr"),
        ("optimizer.momentum: {low: 0, high: 0.9}\noptimizer.nesterov: [true]",
         "nesterov needs a momentum above 0.\n"),
        ("name.x: [1]", ":1: name is 'tiny', so nothing can be set inside"),
        ("- 1", "should be a mapping of fields to ranges or choices, such as"),
    ],
)  # fmt: skip
def test_a_wrong_space_is_a_sentence(
    text: str, says: str, draft: SpecDraft, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as error:
        opened(text, draft, tmp_path)
    assert str(error.value).startswith(str(tmp_path / "space.yaml"))
    assert says in str(error.value)


def test_a_combination_is_refused_before_a_trial_makes_it(draft: SpecDraft) -> None:
    space: dict[str, Any] = {
        "optimizer.nesterov": [False, True],
        "optimizer.momentum": {"low": 0, "high": 0.9},
    }
    draft = draft.with_value("optimizer.momentum", 0.5, "spec")
    with pytest.raises(SpecError, match=r"setting is optimizer\.nesterov = true, optimizer"):
        open_space(space, draft)
