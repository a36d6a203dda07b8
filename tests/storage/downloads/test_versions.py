"""Pieces of a download are of one version of one file, and redirects lead to web addresses."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from isotune.storage.downloads import answer as answering
from isotune.storage.downloads.download import download
from isotune.storage.downloads.remote import Remote
from raw_server import BODY, endless, head, in_order, raw_server, whole

Refused = Callable[..., str]
LONG = "9" * 5000


OLD = "Last-Modified: Wed, 01 Oct 2025 10:00:00 GMT"
NEW = "Last-Modified: Wed, 01 Oct 2025 10:00:07 GMT"
DATE = "Date: Wed, 01 Oct 2025 11:00:00 GMT"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (['ETag: "one"'], []),
        (['ETag: "one"'], ['ETag: "two"']),
        (['ETag: W/"one"'], ['ETag: W/"one"']),
        ([OLD, DATE], [DATE]),
        ([OLD, DATE], [NEW, DATE]),
        ([OLD], [OLD]),
        ([NEW, "Date: Wed, 01 Oct 2025 10:00:08 GMT"], [NEW, DATE]),
        ([], []),
    ],
)
def test_pieces_without_a_common_version_are_not_joined(
    target: Path, first: list[str], second: list[str]
) -> None:
    whole_one = in_order(head("Content-Length: 1024", *first) + BODY[:512], whole())

    def answer(connection: socket.socket, request: str) -> None:
        (joining if "\r\nRange:" in request else whole_one)(connection, request)

    joining = in_order(
        head("Content-Range: bytes 512-1023/1024", *second, status="206 Partial Content")
        + b"x" * 512
    )
    with raw_server(answer) as server:
        download(Remote(f"{server.url}/file", None, 10_000), target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("lines", [['ETag: "one"'], [OLD, DATE]])
def test_pieces_of_one_version_are_joined(target: Path, lines: list[str]) -> None:
    answer = in_order(
        head("Content-Length: 1024", *lines) + BODY[:512],
        head("Content-Range: bytes 512-1023/1024", *lines, status="206 Partial Content")
        + BODY[512:],
    )
    with raw_server(answer) as server:
        download(Remote(f"{server.url}/file", None, 10_000), target)
        assert f"If-Range: {lines[0].partition(': ')[2]}" in server.requests[1]
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(
    "content_range",
    [
        "bytes 511-1022/1024",
        "bytes 512-1023/*",
        "bytes 512-1023/1025",
        "bytes 512-100/1024",
        "bytes 512-1024/1024",
        f"bytes 512-{LONG}/{LONG}",
        f"bytes {LONG}-1023/1024",
        "bytes ٥١٢-1023/1024".encode().decode("latin-1"),
        "",
    ],
)
def test_a_wrong_range_starts_again(target: Path, content_range: str) -> None:
    answer = in_order(
        head(f"Content-Length: {len(BODY)}", 'ETag: "one"') + BODY[:512],
        head(f"Content-Range: {content_range}", 'ETag: "one"', status="206 Partial Content")
        + b"x" * 512,
        whole('ETag: "one"'),
    )
    with raw_server(answer) as server:
        download(Remote(f"{server.url}/file", None, 10_000), target)
        assert len(server.requests) == 3
    assert target.read_bytes() == BODY


def test_a_redirect_that_leads_elsewhere_starts_again(target: Path) -> None:
    first = head(f"Content-Length: {len(BODY)}", 'ETag: "one"') + BODY[:512]
    rest = head("Content-Range: bytes 512-1023/1024", 'ETag: "one"', status="206 Partial Content")
    with (
        raw_server(in_order(first, whole('ETag: "one"'))) as near,
        raw_server(rest + b"x" * 512) as far,
        raw_server(
            in_order(
                head(f"Location: {near.url}/a?token=1", status="302 Found"),
                head(f"Location: {far.url}/a", status="302 Found"),
                head(f"Location: {near.url}/a?token=2", status="302 Found"),
            )
        ) as server,
    ):
        download(Remote(f"{server.url}/file", None, 10_000), target)
        assert len(far.requests) == 1
    assert target.read_bytes() == BODY


def test_redirects_are_counted(
    refused: Refused,
) -> None:
    with raw_server(b"") as server:
        server.answer = in_order(head(f"Location: {server.url}/again", status="301 Moved"))
        assert refused(f"{server.url}/file") == "the server redirects more than 10 times"
        assert len(server.requests) == 11


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("file:///etc/passwd", "redirects to file:///etc/passwd, which is not followed"),
        ("ftp://host/file", "redirects to ftp://host/file, which is not followed"),
        ("http://[x", "redirects to an address that is not valid"),
        ("\xff\xfe", "redirects to an address that is not valid"),
        ("http://user:secret@127.0.0.1:9/x?token=secret", "cannot be reached"),
    ],
)
def test_a_redirect_leads_to_another_web_address(
    refused: Refused, location: str, message: str
) -> None:
    with raw_server(head(f"Location: {location}", status="302 Found")) as server:
        found = refused(f"{server.url}/file")
    assert message in found
    assert "secret" not in found


def test_a_redirect_never_leaves_tls(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def redirect(*_: object) -> requests.Response:
        response = requests.Response()
        response.status_code, response.raw = 302, io.BytesIO()
        response.headers["Location"] = "http://user:secret@host/file?secret"
        return response

    monkeypatch.setattr(answering, "_send", redirect)
    message = "the server redirects to http://host/file, which is not followed"
    assert refused("https://host/file") == message


def test_the_body_of_a_redirect_is_not_read(target: Path) -> None:
    with raw_server(whole()) as server, raw_server(b"") as first:
        lines = (f"Location: {server.url}/file", "Content-Encoding: gzip")
        first.answer = endless(head(*lines, status="302 Found"), b"x")
        download(Remote(f"{first.url}/file", None, 10_000), target)
    assert target.read_bytes() == BODY
