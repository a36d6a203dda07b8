"""Hostile requests to a service: each is answered, and what is refused is refused in a sentence."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import isotune
from hostile.harness import Attack, Suite, message_fault
from hostile.images import DRAWS, valid_images
from isotune.serving.app import create_app
from isotune.serving.limits import Limits
from isotune.serving.service import Service
from tiny import experiment, make_images, numpy_plugins

LIMITS = Limits(request_bytes=200_000, file_bytes=100_000, images=4, waiting=8)
SECRETS = ("Traceback", "site-packages", ".py", "/tmp", "/home", "uvicorn", "fastapi", "starlette")
"""What no answer may say."""

Headers = list[tuple[bytes, bytes]]
Part = Callable[[random.Random, dict[str, bytes]], bytes]


def image_part(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """A part with an image, most often a hostile one, of a hostile name."""
    draw = rng.choice((valid, rng.choice(DRAWS)))
    name = rng.choice(("images", "images", "images", "image", "", "top", "images\x00"))
    return disposition(rng, name) + draw(rng, files)


def top_part(rng: random.Random, files: dict[str, bytes]) -> bytes:
    numbers = ("1", "2", "0", "-1", "1e3", "9" * 10, "9" * 99, "٣", "nan", "", "\x00", "1\r\n2")
    head = b'Content-Disposition: form-data; name="top"\r\n\r\n'
    return head + rng.choice(numbers).encode()


def strange_part(rng: random.Random, files: dict[str, bytes]) -> bytes:
    """Headers that are too long, too many, none, or no headers."""
    return rng.choice(
        (
            b"\r\n" + rng.randbytes(20),
            b"X: " + b"x" * rng.choice((100, 10_000, 150_000)) + b"\r\n\r\n",
            b"X: x\r\n" * rng.choice((1, 100, 5000)) + b"\r\n",
            b"Content-Disposition\r\n\r\n",
            b'Content-Disposition: form-data; name="images\r\n\r\n',
            b"Content-Disposition: form-data; name*=utf-8''images; filename*=utf-16''%ff\r\n\r\n",
            b"Content-Transfer-Encoding: base64\r\n" + disposition(rng, "images") + b"R0lGODlh",
            rng.randbytes(rng.randrange(300)),
        )
    )


def valid(rng: random.Random, files: dict[str, bytes]) -> bytes:
    return files[rng.choice(sorted(files))]


def disposition(rng: random.Random, name: str) -> bytes:
    file = rng.choice(
        (
            "bee.jpg",
            "../../etc/passwd",
            "C:\\bee.jpg",
            "\x1b[31m\u202e",
            "<script>alert(1)</script>",
            'a"; name="top',
            "é" * 5000,
            "\udcff",
            "",
        )
    )
    sent = file.encode("utf-8", "surrogateescape")
    kind = rng.choice(("", "Content-Type: image/png\r\n", "Content-Type: text/html\r\n"))
    head = b'Content-Disposition: form-data; name="%b"; filename="%b"\r\n%b\r\n'
    return head % (name.encode(), sent, kind.encode())


def form(rng: random.Random, files: dict[str, bytes]) -> tuple[Headers, bytes]:
    """A form: its headers, and a body whose boundaries are there, wrong or missing."""
    boundary = rng.choice((b"b", b"b", b"b", b"", b"x" * 70, b"x" * 5000, b"\xff", b'"b"'))
    parts = (image_part, image_part, image_part, top_part, strange_part)
    drawn = [rng.choice(parts)(rng, files) for _ in range(rng.choice((1, 1, 2, 4, 6)))]
    inner = rng.choice((boundary, boundary, boundary, boundary + b"-", b"c"))
    body = b"".join(b"--%b\r\n%b\r\n" % (inner, part) for part in drawn)
    body += rng.choice((b"--%b--\r\n" % inner, b"--%b--\r\n" % inner, b"", b"--", b"--%b" % inner))
    if rng.random() < 0.2:
        body = body[: rng.randrange(len(body) + 1)]
    kinds = (b"multipart/form-data", b"multipart/form-data", b"Multipart/Form-Data", b"text/plain")
    kind = (
        rng.choice(kinds) + b"; boundary=" + boundary + rng.choice((b"", b"; boundary=c", b";;="))
    )
    return [(b"content-type", kind)], body


def headers(rng: random.Random, body: bytes) -> Headers:
    """Headers that may lie about the body, the host, the site and the token."""
    lengths = (len(body), len(body) * 9, 0, 10**6, 10**40, -1)
    found = [(b"host", rng.choice((b"localhost", b"localhost", b"127.0.0.1:1", b"evil", b"\xff")))]
    if rng.random() < 0.7:
        found.append((b"content-length", str(rng.choice(lengths)).encode()))
    else:
        found.append((b"transfer-encoding", b"chunked"))
    if rng.random() < 0.2:
        origins = (b"http://localhost", b"null", b"http://[", b"\xff", b"http://evil")
        found.append((b"origin", rng.choice(origins)))
    if rng.random() < 0.3:
        tokens = (
            b"Bearer x",
            b"Basic " + b"=" * 99,
            b"Basic OnRva2Vu",
            b"\xff",
            b"Bearer \xc3\xa9",
        )
        found.append((b"authorization", rng.choice(tokens)))
    return found


def pieces(rng: random.Random, body: bytes) -> list[dict[str, Any]]:
    """Messages with the body, in pieces of any size, and that the client is gone."""
    size = rng.choice((1, 7, 1000, 1 << 20)) if len(body) < 5000 else 1 << 14
    parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    if rng.random() < 0.1:  # the client goes before it has sent everything
        parts = parts[: len(parts) // 2]
        return [*({"type": "http.request", "body": part, "more_body": True} for part in parts)]
    last = len(parts) - 1
    return [
        {"type": "http.request", "body": part, "more_body": index < last}
        for index, part in enumerate(parts)
    ]


def prepare(folder: Path) -> Attack:
    for name in ("PIL", "isotune", "python_multipart"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    images = make_images(folder / "images")
    spec = experiment(images, epochs=1)
    run = isotune.run(spec, backend="numpy", output=folder / "run", plugins=numpy_plugins())
    service = Service(run)
    files = valid_images()

    def attack(rng: random.Random, _: Path) -> None:
        token = "token" if rng.random() < 0.2 else None
        app = create_app(service, LIMITS, hosts=["box"], token=token)
        sent, body = form(rng, files)
        method = rng.choice(("POST", "POST", "POST", "POST", "GET", "PUT", "\x1b"))
        others = ("/predict/", "/../x", "/\x00", "/docs")
        path = rng.choice(("/predict", "/predict", "/predict", "/predict", *others))
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": rng.choice((b"", b"top=2", b"\xff&&=")),
            "headers": [*sent, *headers(rng, body)],
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's
            judge(*asyncio.run(answered(app, scope, pieces(rng, body))))

    return attack


async def answered(
    app: Any, scope: dict[str, Any], messages: list[dict[str, Any]]
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Returns the status, the headers and the body of an application's answer."""
    waiting, answers = iter(messages), []

    async def receive() -> dict[str, Any]:
        message = next(waiting, None)
        if message is None:
            if not messages or messages[-1]["more_body"]:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()  # the client waits for its answer
        assert message is not None
        return message

    async def send(message: Any) -> None:
        answers.append(message)

    await asyncio.wait_for(app(scope, receive, send), 20)
    start = answers[0]
    body = b"".join(message.get("body", b"") for message in answers[1:])
    return start["status"], dict(start["headers"]), body


def judge(status: int, sent: dict[bytes, bytes], body: bytes) -> None:
    """Checks an answer: a prediction, or a sentence that says nothing of the machine."""
    assert sent[b"x-content-type-options"] == b"nosniff"
    assert status in (200, 400, 401, 403, 404, 405, 408, 413, 415, 421, 422), status
    if sent[b"content-type"].startswith(b"text/html"):
        return  # the documentation
    answer = json.loads(body)
    if status == 200:
        texts = [text for each in answer["results"] for text in (each["name"], each.get("error"))]
    else:
        assert answer.keys() == {"detail"}
        texts = [answer["detail"]]
        assert not any(secret in answer["detail"] for secret in SECRETS), answer
    for text in texts:
        fault = message_fault(text or "")
        assert fault is None, fault


SUITES = (Suite("requests", 2_000, prepare),)
