"""The version of specs: stored with each, 1 where it is left out, refused where it is later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from isotune.errors import SpecError
from isotune.runs.folder import RunFolder
from isotune.spec import recipes
from isotune.spec.document import read_document
from isotune.spec.load import dump_spec, load_spec
from spec.test_load import SMALL


def test_it_is_stored_first_and_means_1_where_it_is_left_out(tmp_path: Path) -> None:
    spec = load_spec(SMALL)
    assert load_spec({**SMALL, "isotune": 1}) == spec
    assert next(iter(dump_spec(spec).items())) == ("isotune", 1)
    RunFolder(tmp_path).write_spec(spec)
    assert (tmp_path / "spec.yaml").read_text("utf-8").startswith("isotune: 1\n")
    assert RunFolder(tmp_path).spec() == spec


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_say_it(name: str) -> None:
    assert read_document(recipes.text(name), name).data["isotune"] == 1


def test_a_later_one_is_one_sentence_whatever_else_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump({"new_key": 1, "isotune": 3, "epochs": "many"}, sort_keys=False))
    with pytest.raises(SpecError) as raised:
        load_spec(file, ["epochs=2"])
    assert str(raised.value) == (
        f"{file}:2: isotune is 3, but this Isotune reads specs up to version 1: it needs a later"
        " one; `pip install --upgrade isotune` installs it."
    )


@pytest.mark.parametrize("wrong", [0, True, 1.0, 2.5, "1", None, [1]])
def test_what_is_no_version_is_told(wrong: Any) -> None:
    with pytest.raises(SpecError, match=r"^spec: isotune is .*, but should be 1\.$"):
        load_spec({**SMALL, "isotune": wrong})
