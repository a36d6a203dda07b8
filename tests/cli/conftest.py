from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import numpy_backend.plugin
from command_line import exit_code, restored_log
from isotune.plugins import plugins
from tiny import experiment, make_images


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working directory and home, colors wanted, and the example backend."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("ISOTUNE_VERBOSE", raising=False)
    plugins.register(numpy_backend.plugin, "numpy")
    with restored_log():
        yield
    plugins.unregister(numpy_backend.plugin)


@dataclass(frozen=True)
class Result:
    """How a call ended."""

    exit_code: object
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


Isotune = Callable[..., Result]


@pytest.fixture
def isotune(capsys: pytest.CaptureFixture[str]) -> Isotune:
    """Calls the command line: ``isotune("run", "tiny.yaml")``."""

    def call(*arguments: object) -> Result:
        return Result(exit_code(*arguments), *capsys.readouterr())

    return call


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec's file, for the NumPy backend."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(experiment(make_images(tmp_path / "images"))))
    return path


@pytest.fixture
def run(isotune: Isotune, spec: Path) -> Path:
    """A finished run's folder."""
    result = isotune("run", spec, "--backend", "numpy", "--output", "run")
    assert result.exit_code == 0, result.output
    return Path("run")
