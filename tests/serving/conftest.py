"""Tiny trained models, and applications around them that need no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import isotune
from clients import Client
from isotune.experiment.result import Run
from isotune.serving.limits import Limits
from isotune.serving.service import Service
from tiny import experiment, make_images
from zoo import run as train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Returns the run of a backend, trained once."""
    root = tmp_path_factory.mktemp("served")
    images = make_images(root / "images", val=4, size=16)
    runs: dict[str, Run] = {}

    def get(backend: str) -> Run:
        if backend not in runs:
            runs[backend] = train(backend, experiment(images, epochs=1), root / backend)
        return runs[backend]

    return get


@pytest.fixture(scope="session")
def exported(trained: Callable[[str], Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of torch as an ONNX file."""
    file = tmp_path_factory.mktemp("exported") / "model.onnx"
    isotune.export(trained("torch"), file)
    return file


@pytest.fixture
def run(trained: Callable[[str], Run]) -> Run:
    return trained("numpy")


@pytest.fixture
def photographs(run: Run) -> list[bytes]:
    """The validation images' files."""
    paths = sorted(Path(run.spec.dataset.path).glob("val/*/*.png"))
    return [path.read_bytes() for path in paths]


@pytest.fixture
def client(run: Run) -> Iterator[Callable[..., Client]]:
    """Returns a client of the run: ``client(token="...", images=2)``; limits have their names."""
    services = []

    def make(classifier: Any = None, **settings: Any) -> Client:
        bounds = {key: settings.pop(key) for key in list(settings) if hasattr(Limits, key)}
        limits = Limits(**bounds)
        services.append(Service(classifier or run, limits.pixels))
        return Client(services[-1], {"limits": limits, **settings})

    yield make
    for service in services:
        service.close()


@pytest.fixture(scope="session")
def white() -> bytes:
    """A white image's file."""
    file = BytesIO()
    Image.new("RGB", (16, 16), "white").save(file, "PNG")
    return file.getvalue()
