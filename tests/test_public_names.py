"""The names of the package itself."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import pytest

import isotune


def test_the_version_is_that_of_the_distribution() -> None:
    assert isotune.__version__ == version("isotune")


@pytest.mark.parametrize("name", isotune.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(import_module("isotune"), name)
    assert name in dir(isotune)
