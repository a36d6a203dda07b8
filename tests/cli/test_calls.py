"""Every way a call can be wrong ends in a sentence and an exit code, never in a traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from isotune.plugins import plugins
from isotune.spec.recipes import names, text


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (["rum"], "No such command 'rum'."),
        (["run"], "Missing argument 'SPEC'."),
        (["run", "tiny.yaml", "--bakend", "numpy"], "No such option: --bakend"),
        (["run", "ants-and-bee"], "Did you mean 'ants-and-bees'?"),
        (["run", "tiny.yaml", "--backend", "nunpy"], "there is no backend 'nunpy'."),
        (["run", "tiny.yaml", "-b", "numpy", "-d", "cuda"], "device 'cuda' is not there"),
        (["run", "tiny.yaml", "-b", "numpy", "--set", "epochs=0"], "epochs is 0, but should be"),
        (["evaluate", "nowhere"], "nowhere: is not the folder of a run"),
        (["compare", "nowhere"], "compare needs the folders of two runs"),
        (["recipes", "bees"], "there is no recipe 'bees'."),
        (["run", "tiny.yaml", "-o", ""], "the argument after '-o' is empty"),
        (["run", "tiny.yaml", "--output="], "the argument after 'tiny.yaml' is empty"),
    ],
)
def test_a_wrong_call_ends_with_2(isotune, spec: Path, call: list[str], sentence: str):
    result = isotune(*call)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert sentence in result.stderr
    assert all(line.startswith("isotune: ") for line in result.stderr.splitlines())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (["run", "tiny.yaml", "-b", "numpy", "-o", "{long}"], "cannot be written: File name too"),
        (
            ["run", "tiny.yaml", "-b", "numpy", "--set", "dataset.path={long}"],
            "there is no such dataset folder",
        ),
        (["split", "{long}", "-o", "out", "--train", "1"], "there is no such folder of images"),
        (["convert", "{long}", "out.pth"], "cannot be read: File name too long"),
        (["bench", "--data", "{long}"], "should be a folder with train/ and val/"),
    ],
)
def test_a_name_that_is_too_long_for_the_system_is_told(
    isotune, spec: Path, call: list[str], sentence: str
):
    result = isotune(*(part.format(long="n" * 300) for part in call))
    assert result.exit_code != 0
    assert sentence in result.stderr


def test_a_bare_call_shows_the_help_and_ends_with_2(isotune):
    result = isotune()
    assert result.exit_code == 2
    assert "Usage: isotune" in result.output
    assert "isotune:" not in result.output


def test_a_bug_is_told_in_one_line_with_the_way_to_its_traceback(
    isotune, run: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken() -> None:
        raise KeyError("bug")

    monkeypatch.setattr(plugins, "reports", broken)
    result = isotune("backends")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "isotune: this is a bug in Isotune or in a plugin: KeyError: 'bug'",
        "isotune: Set ISOTUNE_VERBOSE=1 to see the traceback.",
    ]
    monkeypatch.setenv("ISOTUNE_VERBOSE", "1")
    with pytest.raises(KeyError):
        isotune("backends")


def test_the_schema_is_a_json_schema_that_takes_the_recipes(isotune):
    schema = json.loads(isotune("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    for name in names():
        jsonschema.validate(yaml.safe_load(text(name)), schema)


def test_recipes_are_listed_and_printed(isotune):
    entries = isotune("recipes").stdout.split("\n\n")
    assert [entry.split()[0] for entry in entries] == names()
    assert entries[0].splitlines() == [
        "ants-and-bees",
        "  Ants and bees, fine-tuned: the PyTorch transfer-learning tutorial, first scenario.",
        '  source   "Transfer Learning for Computer Vision Tutorial", PyTorch,'
        " https://pytorch.org/tutorials/beginner/transfer_learning_tutorial.html",
        "  reaches  best validation accuracy 0.9085, as published for this setting.",
        "  command  isotune run ants-and-bees",
    ]
    assert isotune("recipes", "ants-and-bees").stdout == text("ants-and-bees")


def test_backends_tells_what_is_usable_and_why_the_rest_is_not(
    isotune, monkeypatch: pytest.MonkeyPatch
):
    from isotune.plugins import BackendReport

    reports = [
        BackendReport("numpy", "", {"numpy": "1.26.4"}, ["cpu"]),
        BackendReport("jax", problem="backend 'jax' cannot be used: no jax. Install it with `x`."),
    ]
    monkeypatch.setattr(plugins, "reports", lambda: reports)
    lines = isotune("backends").stdout.splitlines()
    assert lines[2].split() == ["numpy", "yes", "cpu", "numpy", "1.26.4"]
    assert lines[3].split() == ["jax", "no", "-", "-"]
    assert lines[-1] == "backend 'jax' cannot be used: no jax. Install it with `x`."


def test_backbones_tells_which_a_backend_has(isotune):
    rows = [line.split() for line in isotune("backbones", "--backend", "numpy").stdout.splitlines()]
    assert rows[0][-1] == "numpy"
    has = {row[0]: row[-1] for row in rows[2:]}
    assert has["linear"] == "yes"
    assert has["resnet18"] == "no"


def test_backbones_are_filtered_and_sorted(isotune):
    def names(*options: str) -> list[str]:
        lines = isotune("backbones", *options).stdout.splitlines()[2:]
        return [line.split()[0] for line in lines]

    assert names("resnet1*") == ["resnet101", "resnet152", "resnet18"]
    small = names("--max-parameters", "3", "--min-accuracy", "65", "--sort", "accuracy")
    assert small == ["shufflenet_v2_x1_0", "mnasnet0_5", "mobilenet_v3_small"]
    assert names("--smaller", "3", "--better", "65", "--sort", "accuracy") == small
    assert "--smaller" not in isotune("backbones", "--help").stdout
    assert names("--family", "swin", "--sort", "parameters") == ["swin_t", "swin_s", "swin_b"]
    row = isotune("backbones", "resnet50").stdout.splitlines()[2]
    assert re.split(r"  +", row) == [
        "resnet50", "25.6 M", "224 px", "2,048", "imagenet, imagenet_v2", "76.1%, 80.9%"
    ]  # fmt: skip
    result = isotune("backbones", "resnet_50")
    assert result.exit_code == 2
    assert "there is no such backbone. Did you mean 'resnet50'? Families are: alexnet" in (
        result.stderr
    )


def test_warnings_are_shown_as_messages(isotune, spec: Path):
    (spec.parent / "images" / "train" / "bees" / "broken.png").write_text("not an image")
    result = isotune("run", spec, "-b", "numpy", "--set", "dataset.broken=skip")
    assert result.exit_code == 0
    assert re.fullmatch(r"isotune: left out .*broken\.png.*\n", result.stderr)
    assert "left out as unreadable: 1 train" in result.stdout
