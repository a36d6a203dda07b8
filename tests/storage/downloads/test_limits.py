"""What a server sends is bounded in size and time."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from isotune.storage.downloads import answer as answering
from isotune.storage.downloads import download as downloading
from isotune.storage.downloads import pace
from isotune.storage.downloads.errors import DownloadError
from isotune.storage.downloads.remote import size_limit
from raw_server import BODY, endless, head, raw_server

Refused = Callable[..., str]
SHA256 = hashlib.sha256(BODY).hexdigest()
LONG = "9" * 5000


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize("length", ["10001", LONG, "0" * 5000 + "10001"])
def test_a_file_that_says_it_is_too_large_is_refused_at_once(
    refused: Refused, target: Path, length: str
) -> None:
    with raw_server(head(f"Content-Length: {length}")) as server:
        message = refused(f"{server.url}/file")
        assert len(server.requests) == 1
    assert "which is too much: at most 10,000 are downloaded" in message
    assert "ISOTUNE_MAX_DOWNLOAD" in message
    assert left(target) == []


@pytest.mark.parametrize(
    ("lines", "sha256"), [(["Transfer-Encoding: chunked"], None), ([], SHA256)]
)
def test_a_stream_is_cut_at_the_limit(
    refused: Refused, target: Path, lines: list[str], sha256: str | None
) -> None:
    answer = endless(head('ETag: "one"', *lines), b"400\r\n" + BODY + b"\r\n")
    with raw_server(answer) as server:
        assert "it has more than 10,000 bytes" in refused(f"{server.url}/file", sha256)
    assert left(target) == []


def test_a_stream_leaves_room_on_the_disk(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    chunks = b"".join(b"400\r\n" + BODY + b"\r\n" for _ in range(5)) + b"0\r\n\r\n"
    with raw_server(head("Transfer-Encoding: chunked") + chunks) as server:
        assert "more than 900 bytes" in refused(f"{server.url}/file")


def test_the_limit_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    assert size_limit(5) == 5
    for text, size in {"700": 700, "500GB": 500e9, "2 tb": 2e12, "3M": 3e6}.items():
        monkeypatch.setenv("ISOTUNE_MAX_DOWNLOAD", text)
        assert size_limit(5) == size
    for text in ("many", "-1", LONG, "1.5GB", "²"):
        monkeypatch.setenv("ISOTUNE_MAX_DOWNLOAD", text)
        with pytest.raises(DownloadError, match="should be a size such as 500GB"):
            size_limit(5)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "clock", count(step=20).__next__)


CHUNKED = head("Transfer-Encoding: chunked")


@pytest.mark.usefixtures("clock")
def test_too_few_bytes_in_a_window_are_a_timeout() -> None:
    fast = pace.Pace()
    for _ in range(50):
        fast.count(10_000)
        fast.check()
    slow = pace.Pace()
    with pytest.raises(TimeoutError, match="29997 bytes in 60 seconds"):
        for _ in range(3):
            slow.count(9_999)
            slow.check()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("before", "piece"),
    [(head(f"Content-Length: {10**9}"), b"x"), (CHUNKED, b"1\r\nx\r\n")],
    ids=["bytes", "chunks"],
)
def test_a_drip_is_not_waited_for(
    refused: Refused, before: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SLOWEST", 10**12)
    monkeypatch.setattr(downloading, "PROGRESS", 10**12)
    with raw_server(endless(before, piece)) as server:
        message = refused(f"{server.url}/file", max_size=10**10)
        assert len(server.requests) == 4
    assert message.startswith("the server sent nothing more, or next to nothing, after")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (CHUNKED + b"1;", b"x"),
        (CHUNKED + b"0\r\n", b"Name: value\r\n"),
        (b"", head(status="100 Continue")),
        (b"HTTP/1.1 100 Continue\r\n", b"Name: value\r\n"),
        (b"HTTP/1.1 200 OK\r\nA: ", b"x"),
    ],
    ids=["extensions", "trailers", "interim", "interim-headers", "header"],
)
def test_what_is_not_the_file_has_an_end(refused: Refused, before: bytes, piece: bytes) -> None:
    with raw_server(endless(before, piece)) as server:
        message = refused(f"{server.url}/file")
    assert re.search("next to nothing|does not answer|is not HTTP|broke", message)


def test_a_silent_server_is_not_waited_for(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "TIMEOUT", 0.05)
    released = threading.Event()
    with raw_server(lambda *_: released.wait()) as server:
        assert refused(f"{server.url}/file") == "the server does not answer"
        released.set()
