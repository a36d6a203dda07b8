"""``isotune serve``: what is said before the first request, and what is refused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from isotune.serving import server

TOKEN = "0123456789abcdef"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Lets the service end as soon as it has started; returns the applications."""
    apps: list[Any] = []

    def serve(app: Any, listener: socket.socket, limits: Any, started: Callable[[], None]) -> None:
        apps.append(app)
        started()

    monkeypatch.setattr(server, "serve", serve)
    return apps


def test_it_says_where_it_listens(isotune: Any, run: Path, started: list[Any]) -> None:
    result = isotune("serve", run, "--port", "0", "--backend", "numpy")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("http://127.0.0.1:")
    assert result.stdout.endswith(
        " serves tiny (numpy on cpu); /docs describes it, Ctrl-C ends it.\n"
    )


def test_it_says_when_anybody_may_use_it(
    isotune: Any, run: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = isotune("serve", run, "--port", "0", "--host", "0.0.0.0")
    assert result.exit_code == 0
    assert result.stderr == (
        "isotune: anybody who reaches this machine may use the service; --token-file limits it to"
        " those who have a token.\n"
    )
    monkeypatch.setenv("ISOTUNE_TOKEN", TOKEN)
    assert isotune("serve", run, "--port", "0", "--host", "0.0.0.0").stderr == ""
    assert isotune("serve", run, "--port", "0", "--host", "::1").stderr == ""


def test_a_port_that_is_taken_is_refused(isotune: Any, run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = isotune("serve", run, "--port", port)
    assert result.exit_code == 2
    assert result.stderr == (
        f"isotune: port {port} of 127.0.0.1 cannot be used: address already in use. --port 0 takes"
        " a free one.\n"
    )


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 300, "1.2.3.4.5"])
def test_a_host_that_is_none_is_refused(host: str, isotune: Any, run: Path) -> None:
    result = isotune("serve", run, "--host", host)
    assert result.exit_code == 2
    assert result.stderr.startswith("isotune: --host: there is no host '")


@pytest.mark.parametrize(
    ("content", "mode", "sentence"),
    [
        ("short\n", 0o600, "token: a token should have 16 to 1024 letters, digits and ASCII"),
        ("a" * 2000, 0o600, "token: a token should have 16 to 1024 letters, digits and ASCII"),
        (f"{TOKEN} {TOKEN}", 0o600, "token: a token should have 16 to 1024 letters, digits"),
        (f"{TOKEN}\n{TOKEN}\n", 0o600, "token: a token should have 16 to 1024 letters, digits"),
        (f"{TOKEN}\n", 0o644, "token: other users may read this token; `chmod 600` makes it yours"),
        (None, 0, "token: cannot be read: no such file or directory."),
    ],
)
def test_a_token_that_protects_nothing_is_refused(
    content: str | None, mode: int, sentence: str, isotune: Any, run: Path
) -> None:
    if content is not None:
        Path("token").write_text(content)
        Path("token").chmod(mode)
    result = isotune("serve", run, "--token-file", "token")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"isotune: {sentence}")
    assert TOKEN not in result.stderr


def test_the_token_of_a_file_is_asked_for(isotune: Any, run: Path, started: list[Any]) -> None:
    Path("token").write_text(f"{TOKEN}\n")
    Path("token").chmod(0o600)
    assert isotune("serve", run, "--port", "0", "--token-file", "token").exit_code == 0
    [app] = started

    async def statuses() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            headers = {"authorization": f"Bearer {TOKEN}"}
            answers = [await client.get("/docs"), await client.get("/docs", headers=headers)]
            return [answer.status_code for answer in answers]

    assert asyncio.run(statuses()) == [401, 200]


def test_a_package_that_is_missing_is_named(
    isotune: Any, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None if name == "uvicorn" else object())
    result = isotune("serve", run)
    assert result.exit_code == 2
    assert result.stderr == (
        "isotune: serving needs uvicorn, which is not installed;"
        ' `pip install "isotune[serve]"` installs it.\n'
    )
