"""Answers that make no sense, files in the way, secrets, and proxies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from isotune.storage.downloads.download import download
from isotune.storage.downloads.remote import Remote
from raw_server import BODY, head, raw_server, whole

Refused = Callable[..., str]
SHA256 = hashlib.sha256(BODY).hexdigest()


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"\x16\x03\x01\x00\x05hello", "breaks off or is not HTTP"),
        (b"", "breaks off or is not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "breaks off or is not HTTP"),
        (head(*(f"A{n}: b" for n in range(200))), "breaks off or is not HTTP"),
        (head("A: " + "b" * 70_000), "breaks off or is not HTTP"),
        (head("Content-Length: 5", "Content-Length: 6") + b"123456", "not HTTP"),
        (head("Content-Length: -5") + BODY, "does not send its length"),
        (head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", "unknown transfer encoding"),
        (head("Transfer-Encoding: chunked") + b"-1\r\n" + BODY, "the connection broke"),
        (head("Transfer-Encoding: chunked") + b"zz\r\n" + BODY, "the connection broke"),
        (head("Transfer-Encoding: chunked") + b"f" * 5000 + b"\r\n", "the connection broke"),
        (head("Content-Range: bytes 0-4/5", status="206 Partial") + b"12345", "answers 206"),
        (head(status="416 Range Not Satisfiable"), "answers 416"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(
    refused: Refused, target: Path, answer: bytes, message: str
) -> None:
    with raw_server(answer) as server:
        assert message in refused(f"{server.url}/file")
    assert left(target) == []


def test_bytes_are_kept_as_they_are_sent(target: Path) -> None:
    with raw_server(whole("Content-Encoding: gzip")) as server:
        download(Remote(f"{server.url}/file", SHA256, 10_000), target)
    assert target.read_bytes() == BODY


def test_a_page_in_place_of_the_file_is_named(
    refused: Refused,
) -> None:
    page = whole(body=b"\n<!DOCTYPE html><p>Sign in")
    with raw_server(page) as server:
        message = refused(f"{server.url}/file", SHA256)
    assert message.endswith(
        f"should begin with {SHA256}; it looks like an HTML page, perhaps an"
        " error message saved by a download"
    )


def test_a_server_without_tls_is_told_from_a_wrong_certificate(
    refused: Refused,
) -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\n\r\n") as server:
        url = server.url.replace("http:", "https:")
        # The greeting of TLS has no end that this server looks for.
        server.RequestHandlerClass = lambda connection, *_: connection.sendall(b"hello\r\n" * 9)
        assert refused(f"{url}/file") == "its server speaks no TLS that can be trusted"


def test_missing_certificates_are_told(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    message = refused("https://127.0.0.1:9/file")
    assert message.startswith("no certificates to trust: ")
    assert message.endswith("/no/such/bundle.pem")


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
@pytest.mark.parametrize("suffix", [".part", ".part.json"])
def test_what_lies_in_the_way_is_replaced_and_never_written_through(
    target: Path, tmp_path: Path, kind: str, suffix: str
) -> None:
    outside, inside = tmp_path / "outside", target.parent / f".file{suffix}"
    target.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(inside)
    else:
        inside.symlink_to(outside)
    if kind == "link":
        outside.write_bytes(b"precious")
    with raw_server(whole('ETag: "one"')) as server:
        download(Remote(f"{server.url}/file", None, 10_000), target)
    assert target.read_bytes() == BODY
    assert left(target) == ["file"]
    assert outside.read_bytes() == b"precious" if kind == "link" else not outside.exists()


def test_no_secret_is_kept_or_shown(
    refused: Refused, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "isotune")
    with raw_server(head("Content-Length: 1024", 'ETag: "one"') + BODY[:5]) as server:
        host = server.url.removeprefix("http://")
        url = f"http://user:hunter2@{host}/file?token=hunter2"
        refused(url)
        assert "Authorization: Basic" in server.requests[0]
    note = (target.parent / ".file.part.json").read_text()
    assert f"http://{host}/file" in note
    assert "hunter2" not in note + caplog.text
    assert f"downloading http://{host}/file" in caplog.text


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_dead_proxy_is_named(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://user:hunter2@127.0.0.1:9")
    scheme = "https" if "HTTPS" in variable else "http"
    assert refused(f"{scheme}://example.com/file") == (
        f"the proxy http://127.0.0.1:9 of {variable} cannot be reached"
    )


def test_a_proxy_that_refuses_is_named(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(head("Content-Length: 0", status="407 Authenticate")) as proxy:
        host = proxy.url.removeprefix("http://")
        monkeypatch.setenv("http_proxy", host)
        monkeypatch.setenv("https_proxy", host)
        for scheme in ("http", "https"):
            assert refused(f"{scheme}://example.com/file") == (
                f"the proxy http://{host} of {scheme}_proxy answers 407"
            )


@pytest.mark.parametrize(
    ("proxy", "fault"),
    [
        ("http://user:hunter2@no-such-host.invalid:3128", "cannot be reached"),
        ("socks5://user:hunter2@127.0.0.1:9", "needs another library: pip install pysocks"),
        ("ftp://user:hunter2@127.0.0.1:9", "is not a valid address"),
        ("http://user:hunter2@127.0.0.1:99999", "is not a valid address"),
        ("http://user:hunter2@[bad", "is not a valid address"),
    ],
)
def test_a_proxy_that_cannot_work_is_named(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, proxy: str, fault: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    message = refused("https://example.com/file")
    assert message.startswith("the proxy ")
    assert message.endswith(f"of https_proxy {fault}")
    assert "hunter2" not in message
