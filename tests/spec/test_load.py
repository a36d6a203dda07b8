"""Loading: what a file may say, and that it means the same to the JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from isotune.errors import SpecError
from isotune.spec import recipes
from isotune.spec.document import read_document
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec, json_schema, load_spec

SMALL: dict[str, Any] = {
    "name": "small",
    "dataset": {"path": "images"},
    "batch_size": 4,
    "backbone": "resnet18",
    "optimizer": "sgd",
    "epochs": 2,
}
FULL: dict[str, Any] = {
    **SMALL,
    "dataset": {
        "path": "images",
        "url": "https://example.org/images.zip",
        "sha256": "0123abcd",
        "splits": {"train": "a", "val": "b"},
        "broken": "skip",
    },
    "transforms": {
        "train": [{"random_resized_crop": {"size": 32, "scale": [0.5, 1]}}, {"rotation": 5}],
        "val": [{"resize": [32, 32]}],
    },
    "backbone": {"name": "resnet18", "weights": "none"},
    "head": {"name": "linear"},
    "freeze": {
        "parameters": ["layer1", "*.bias"],
        "batch_norm": "train",
        "unfreeze": {3: ["layer1"], 10: "all"},
    },
    "loss": {"label_smoothing": 0.1, "class_weights": {"no": 1, "007": 2.5}},
    "optimizer": {"name": "adamw", "lr": 1e-3, "betas": [0.8, 0.9], "weight_decay": 0},
    "schedule": {"name": "multi_step", "milestones": [3, 5], "warmup": {"epochs": 0.5}},
    "seed": 2**63 - 1,
    "normalization": {"mean": [0, 0.5, 1], "std": [1, 1, 1]},
    "early_stopping": {"patience": 2},
    "checkpoint": {"monitor": "val_loss"},
    "cache": {"images": "off", "memory": 0, "disk": 100},
}
SHORTHANDS: list[dict[str, Any]] = [
    {"dataset": "images"},
    {"backbone": "resnet18"},
    {"freeze": "backbone"},
    {"freeze": "none"},
    {"freeze": ["layer1", "*.bias"]},
    {"schedule": "constant"},
    {"schedule": "cosine"},
    {"head": "linear"},
    {"optimizer": "adam"},
    {"loss": "cross_entropy"},
    {"transforms": {"train": [{"center_crop": 8}, "random_horizontal_flip"]}},
]
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_dumping_and_loading_gives_the_same_spec(tmp_path: Path) -> None:
    spec = load_spec(FULL)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(dump_spec(spec)))
    assert load_spec(dump_spec(spec)) == load_spec(tmp_path / "spec.yaml") == spec
    VALIDATOR.validate(dump_spec(spec))


@pytest.mark.parametrize("change", [{}, *SHORTHANDS, FULL])
def test_what_a_spec_shows_means_the_same(change: dict[str, Any]) -> None:
    spec = load_spec({**SMALL, **change})
    assert load_spec(yaml.safe_load(repr(spec))) == spec
    if not change:
        assert yaml.safe_load(repr(spec)) == {**SMALL, "dataset": "images"}


@pytest.mark.parametrize("change", [{}, *SHORTHANDS, FULL])
def test_the_schema_accepts_what_loads(change: dict[str, Any]) -> None:
    data = read_document(yaml.safe_dump({**SMALL, **change}), "spec").data
    VALIDATOR.validate(data)
    assert isinstance(load_spec(data), ExperimentSpec)


def test_a_shorthand_means_its_long_form() -> None:
    spec = load_spec({**SMALL, "freeze": ["layer1"], "schedule": "cosine"})
    long = {"freeze": {"parameters": ["layer1"]}, "schedule": {"name": "cosine"}}
    assert spec == load_spec(
        {**SMALL, "backbone": {"name": "resnet18"}, "optimizer": {"name": "sgd"}, **long}
    )


@pytest.mark.parametrize(
    "change",
    [
        {"gpu": 0},
        {"dataset": {"path": "x", "paht": "y"}},
        {"optimizer": {"name": "sgd", "momentun": 1}},
        {"schedule": {"name": "cosine", "every": 1}},
        {"freeze": {"patterns": ["a"]}},
        {"transforms": {"train": [{"center_crop": {"size": 8, "fill": 1}}]}},
        {"loss": {"name": "hinge"}},
        {"batch_size": "4"},
        {"epochs": -1},
    ],
)
def test_neither_takes_what_is_wrong(change: dict[str, Any]) -> None:
    wrong = {**SMALL, **change}
    assert not VALIDATOR.is_valid(wrong)
    with pytest.raises(SpecError):
        load_spec(wrong)


@pytest.mark.parametrize("name", recipes.names())
def test_recipes(name: str) -> None:
    VALIDATOR.validate(read_document(recipes.text(name), name).data)
    assert load_spec(name).name == name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5E2", 500.0),
        ("1_000", 1000),
        ("0x10", 16),
        ("3:4", "3:4"),
        ("2024-05-01", "2024-05-01"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("{no: 1, 007: 2}", {"no": 1, "007": 2}),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    found = read_document(f"key: {text}", "spec").data["key"]
    assert (found, type(found)) == (value, type(value))


def test_paths_beside_the_file_become_absolute(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "own.pth").touch()
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump({**SMALL, "backbone": {"name": "a", "weights": "own.pth"}}))
    spec = load_spec(file)
    assert spec.dataset.path == str(tmp_path.resolve() / "images")
    assert spec.backbone.weights == str(tmp_path.resolve() / "own.pth")
    assert load_spec(SMALL).dataset.path == "images"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["sgd", "step", "linear", "resize", "none", "all"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "size", "parameters", "unfreeze", "warmup", "train"])
            | SCALARS.filter(lambda key: key == key),
            inner,
            max_size=3,
        )
    ),
    max_leaves=9,
)
FIELDS = st.dictionaries(st.sampled_from([*FULL, "gpu"]), VALUES, max_size=4)


@given(fields=FIELDS)
def test_any_data_loads_or_is_told_what_is_wrong(fields: dict[str, Any]) -> None:
    try:
        spec = load_spec({**SMALL, **fields})
    except SpecError as error:
        assert all(line.startswith("spec: ") for line in str(error).splitlines())
    else:
        assert load_spec(dump_spec(spec)) == spec


@given(
    text=st.text(st.sampled_from("ab: -[]{},&*!?|>'\"#%\n\t01.e<~"), max_size=60)
    | VALUES.map(lambda data: yaml.safe_dump(data, allow_unicode=True))
)
def test_any_text_is_yaml_or_is_told_to_be_none(text: str) -> None:
    try:
        document = read_document(text, "file")
    except SpecError as error:
        assert str(error).startswith("file")
    else:
        assert document.where(("epochs",)).startswith("file:")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "[" * 2000,
        "\n".join(["a0: &0 [x]", *(f"a{i}: &{i} [{f'*{i - 1},' * 9}]" for i in range(1, 12))]),
        "a: !!bool maybe",
        "a: !!int ''",
        "a: !!timestamp soon",
        "a: !!python/name:os.system ''",
        "? [a]\n: b",
    ],
)
def test_hostile_yaml(text: str) -> None:
    with pytest.raises(SpecError, match=r"^file[:\d]*: (is not valid|is nested|holds more)"):
        read_document(text, "file")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ('"\\UFFFFFFFF"', "an escape names no character"),
        ('"\\U00110000"', "an escape names no character"),
        ("9" * 5000, "a number has 5000 digits"),
        ("!!bool maybe", "a value does not fit its type !!bool"),
        ("!!timestamp 2024-99-99", "a value does not fit its type !!timestamp"),
        ("\x00", "the character U+0000 is not allowed"),
        ("\x9b", "the character U+009B is not allowed"),
        ("[" * 100_000, "it is nested too deeply, more than 100 levels"),
        ("{a: " * 100_000, "it is nested too deeply, more than 100 levels"),
    ],
)
def test_yaml_that_cannot_be_has_its_line(value: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_document(f"a: b\nc: {value}\nd: e\n", "file")
    assert str(caught.value) == f"file:2: is not valid YAML: {problem}."


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    long = "x" * 5000
    assert load_spec({**SMALL, "dataset": {"path": long}}).dataset.path == long
    for name in (long, "a\0b", str(tmp_path)):
        with pytest.raises(SpecError, match="there is no such file or recipe"):
            load_spec(name)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"\x89PNG\xff")
    with pytest.raises(SpecError, match=r"spec.yaml: is not UTF-8 text, by its byte 0; save it"):
        load_spec(path)
    path.write_text(yaml.safe_dump(SMALL), "utf-8-sig")  # Windows editors write a mark in front
    assert load_spec(path).name == "small"
    path.write_text("#" * 2_000_000)
    with pytest.raises(SpecError, match=r"spec.yaml: cannot be read: is larger than 1048576 bytes"):
        load_spec(path)


def test_the_schema_names_the_metrics() -> None:
    schema = json_schema()
    monitor = schema["$defs"]["CheckpointSpec"]["properties"]["monitor"]
    names = [f"val_{name}" for name in schema["properties"]["metrics"]["items"]["enum"]]
    assert {"val_loss", "val_macro_f1"} <= {*names}
    assert monitor["enum"] == names
