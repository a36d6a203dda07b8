from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import numpy_backend.plugin
from isotune.cli.app import app
from isotune.plugins import plugins
from tiny import experiment, make_pictures

Isotune = Callable[..., Any]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working directory and home, colours wanted, and the tests' NumPy backend."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("ISOTUNE_VERBOSE", raising=False)
    plugins.register(numpy_backend.plugin, "numpy")
    yield
    plugins.unregister(numpy_backend.plugin)


@pytest.fixture
def isotune() -> Isotune:
    """Calls the command line: ``isotune("run", "tiny.yaml")``."""

    def call(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec's file, for the NumPy backend."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(experiment(make_pictures(tmp_path / "pictures"))))
    return path


@pytest.fixture
def run(isotune: Isotune, spec: Path) -> Path:
    """A finished run's folder."""
    result = isotune("run", spec, "--backend", "numpy", "--output", "run")
    assert result.exit_code == 0, result.output
    return Path("run")
