"""The service as a process: its address, raw connections, and its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

import isotune
from isotune.experiment.result import Run

PROGRAM = """
import sys
import numpy_backend.plugin
from isotune.cli.app import app
from isotune.plugins import plugins
from isotune.serving.limits import Limits

for each in sys.argv[3:]:  # defaults of limits that have no option
    name, _, value = each.partition("=")
    position = list(Limits.__annotations__).index(name)
    defaults = list(Limits.__init__.__defaults__)
    defaults[position] = float(value)
    Limits.__init__.__defaults__ = tuple(defaults)
NEEDLESS = ("torch", "torchvision", "mindspore", "onnx", "gradio", "matplotlib")

class Refuse:  # what an exported model does without
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in NEEDLESS:
            raise ModuleNotFoundError(f"{name} is blocked by the test", name=name)

if sys.argv[1].endswith(".onnx"):
    sys.meta_path.insert(0, Refuse())
plugins.register(numpy_backend.plugin, "numpy")
app(["serve", sys.argv[1], *sys.argv[2].split()], prog_name="isotune")
"""
BOUNDARY = "multipart/form-data; boundary=b"


@dataclass
class Served:
    """A process that serves a run."""

    process: subprocess.Popen[str]
    url: str

    def connect(self) -> socket.socket:
        port = int(self.url.rpartition(":")[2])
        return socket.create_connection(("127.0.0.1", port), timeout=30)

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Sends a signal, and returns how the process ends and what it says."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@contextmanager
def serving(model: Path, options: str = "--port 0 --no-page", *limits: str) -> Iterator[Served]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(model), options, *limits],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            url, *words = process.stdout.readline().split()
            assert words[:2] == ["serves", "tiny"]
            yield Served(process, url)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def served(trained: Callable[[str], Run]) -> Iterator[Served]:
    with serving(trained("numpy").path) as found:
        yield found


def exchanged(connection: socket.socket, sent: bytes) -> tuple[int, str]:
    """Returns the status and the sentence of the answer, which closes the connection."""
    connection.sendall(sent)
    response = HTTPResponse(connection)
    response.begin()
    assert response.will_close
    return response.status, json.loads(response.read())["detail"]


def post(*lines: str) -> bytes:
    head = ["POST /predict HTTP/1.1", "Host: localhost", f"Content-Type: {BOUNDARY}", *lines]
    return "\r\n".join([*head, "", ""]).encode()


PART = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'


def test_a_real_client_is_answered(served: Served, run: Run, photographs: list[bytes]) -> None:
    response = httpx.post(f"{served.url}/predict", files={"images": photographs[0]})
    [result] = response.json()["results"]
    shares = {each["class"]: each["probability"] for each in result["predictions"]}
    assert shares == pytest.approx(dict(run.predict(photographs[0])), abs=1e-6)


def test_an_exported_model_needs_no_framework(exported: Path, photographs: list[bytes]) -> None:
    with serving(exported) as served:
        response = httpx.post(f"{served.url}/predict", files={"images": photographs[0]})
        [result] = response.json()["results"]
        shares = {each["class"]: each["probability"] for each in result["predictions"]}
        expected = isotune.open_exported(exported).predict(photographs[0])
        assert shares == pytest.approx(dict(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("sent", "status", "sentence"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "the request is not HTTP/1.1."),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "the request is not HTTP/1.1."),
        (b"GET /" + b"x" * 100_000, 400, "the request is not HTTP/1.1."),
        (post("Content-Length: 5", "Content-Length: 6"), 400, "the request is not HTTP/1.1."),
        (post(f"Content-Length: {10**30}"), 400, "the request is not HTTP/1.1."),
        (
            post(f"Content-Length: {10**18}"),
            413,
            "the request has more than 64 MiB, the most that this service takes.",
        ),
        (
            post("Transfer-Encoding: chunked") + b"1100000\r\n" + PART + b"x" * 17_000_000,
            413,
            "a.png: has more than 16 MiB, the most that this service takes.",
        ),
        (
            post("Content-Length: 10", "Connection: close") + b"--b--\r\n\r\n\r\n",
            422,
            "the form has no image in a field 'images'; send the images as multipart/form-data:"
            " curl -F images=@FILE.",
        ),
    ],
    ids=["tls", "no-host", "long", "two-lengths", "endless", "large", "chunked", "longer"],
)
def test_whatever_comes_is_answered_by_a_sentence(
    sent: bytes, status: int, sentence: str, served: Served
) -> None:
    with served.connect() as connection:
        assert exchanged(connection, sent) == (status, sentence)


def test_connections_are_bounded_in_number_and_in_the_time_of_a_header(run: Run) -> None:
    too_slow = (408, "the header of the request came too slowly.")
    too_many = (503, "too many connections are open; try again in a moment.")
    with serving(run.path, "--port 0 --no-page", "connections=2", "header_seconds=2") as small:
        with small.connect() as first, small.connect() as second, small.connect() as third:
            assert exchanged(third, b"") == too_many
            assert exchanged(first, b"GET /health HTTP/1.1\r\nHost: local") == too_slow
            assert exchanged(second, b"") == too_slow
        answer = httpx.get(f"{small.url}/health")
        assert answer.json() == {"status": "ok"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_has_begun_is_answered_and_then_it_ends_with_0(
    number: signal.Signals, run: Run, photographs: list[bytes]
) -> None:
    body = PART + photographs[0] + b"\r\n--b--\r\n"
    with serving(run.path) as ending, ending.connect() as connection:
        connection.sendall(post(f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n", "it reads the body"
        connection.sendall(body[:50])
        ending.process.send_signal(number)
        while not refuses(ending):
            pass
        connection.sendall(body[50:])
        assert connection.recv(12) == b"HTTP/1.1 200"
        _, errors = ending.process.communicate(timeout=30)
        assert (ending.process.returncode, errors) == (0, "")


def refuses(served: Served) -> bool:
    try:
        served.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_second_interrupt_ends_it_at_once(run: Run) -> None:
    with serving(run.path) as ending, ending.connect() as connection:
        connection.sendall(post("Content-Length: 100", "Expect: 100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        ending.process.send_signal(signal.SIGINT)
        while not refuses(ending):
            pass
        code, errors = ending.end(signal.SIGINT)
        assert code == 130
        assert errors.splitlines() == ["isotune: 1 request was not answered."]
