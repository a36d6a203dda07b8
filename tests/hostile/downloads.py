"""Hostile servers: what is kept under its final name is the right file, or nothing is."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

from archives import tar_bytes, zip_bytes
from hostile.harness import Attack, Suite
from hostile.servers import BEHAVIORS
from isotune.data.location import dataset_folder
from isotune.errors import IsotuneError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.dataset import DatasetFormat
from isotune.spec.load import load_spec
from isotune.storage.downloads import answer as answering
from isotune.storage.downloads import download as downloading
from isotune.storage.downloads import pace
from isotune.weights.fetch import locate_weights
from isotune.weights.formats.write import write_weights
from raw_server import RawServer, head, in_order, raw_server

SECRET = "hunter2"

IMAGES = {"train/a/1.jpg": b"one", "val/a/2.jpg": b"two" * 9000}


@dataclass(frozen=True)
class Download:
    """What is downloaded.

    Attributes:
        content: the right bytes.
        checked: whether the spec has their SHA-256.
        is_weights: whether they are weights, not a dataset.
    """

    content: bytes
    checked: bool
    is_weights: bool

    def take(self, url: str) -> None:
        """Downloads it."""
        sha256 = hashlib.sha256(self.content).hexdigest() if self.checked else None
        if self.is_weights:
            locate_weights(BackboneEntry("net", "fc"), "net", url=url, sha256=sha256)
            return
        dataset = {"path": "images", "url": url, "sha256": sha256}
        rest = {"name": "x", "backbone": "resnet18", "optimizer": "sgd"}
        loaded = load_spec({"dataset": dataset, "epochs": 1, "batch_size": 1, **rest}).dataset
        assert isinstance(loaded, DatasetFormat)
        dataset_folder(loaded)

    def is_there(self, home: Path) -> bool:
        """Whether it is there; something else under its name is a fault."""
        place = home / ("weights/net" if self.is_weights else "datasets/images")
        if not place.exists():
            return False
        if self.is_weights:
            assert place.read_bytes() == self.content, "a wrong file was kept"
        else:
            files = [path for path in place.rglob("*") if path.is_file()]
            found = {path.relative_to(place).as_posix(): path.read_bytes() for path in files}
            assert found == IMAGES, "a wrong dataset was kept"
        return True


@contextmanager
def quick(home: Path) -> Iterator[None]:
    """No pauses and no proxies, small limits, and a clock that runs as bytes arrive."""
    settings = {"ISOTUNE_HOME": str(home), "ISOTUNE_MAX_DOWNLOAD": "3MB", "NO_PROXY": "*"}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, settings))
        stack.enter_context(patch.object(downloading, "PAUSES", (0.0, 0.0, 0.0)))
        stack.enter_context(patch.object(answering, "TIMEOUT", 0.1))
        stack.enter_context(patch.object(pace, "clock", itertools.count().__next__))
        yield


def prepare(folder: Path) -> Attack:
    contents = []
    rng = np.random.default_rng(0)
    state = {"fc.weight": rng.random((70, 90), np.float32), "fc.bias": np.ones(3, np.float32)}
    for suffix in (".pth", ".safetensors", ".ckpt"):
        write_weights(folder / f"weights{suffix}", state)
        contents.append((folder / f"weights{suffix}").read_bytes())
    archives = [zip_bytes(IMAGES), tar_bytes(IMAGES), tar_bytes(IMAGES, mode="w")]

    def attack(rng: random.Random, folder: Path) -> None:
        is_weights = rng.random() < 0.5
        content = rng.choice(contents if is_weights else archives)
        wanted = Download(content, rng.random() < 0.4, is_weights)
        with quick(folder / "home"), raw_server(b"") as server:
            behave = rng.choice(BEHAVIORS)
            server.answer = behave(rng, content, f"{server.url}/file")
            _attack(wanted, server, folder)

    return attack


def _attack(wanted: Download, server: RawServer, folder: Path) -> None:
    url = server.url.replace("//", f"//user:{SECRET}@") + f"/file?token={SECRET}"
    try:
        wanted.take(url)
        assert wanted.is_there(folder / "home"), "it is not there"
    except IsotuneError as error:
        assert SECRET not in str(error), str(error)
        assert not wanted.is_there(folder / "home"), f"it is there, but: {error}"
        raise
    finally:
        _recover(wanted, server, url, folder)


def _recover(wanted: Download, server: RawServer, url: str, folder: Path) -> None:
    """Whatever is left of the attack, the same address with an honest server has the file."""
    length = f"Content-Length: {len(wanted.content)}"
    server.answer = in_order(head(length, 'ETag: "honest"') + wanted.content)
    with patch.object(answering, "TIMEOUT", 30):
        wanted.take(url)
    assert wanted.is_there(folder / "home")
    names = [path.name for path in (folder / "home").rglob(".*")]
    assert not names, f"left behind: {names}"
    assert [path.name for path in folder.iterdir()] == ["home"]


SUITES = (Suite("downloads", 100, prepare),)
