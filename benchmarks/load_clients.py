"""Clients that call a service at the same time, and what they see of it."""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

HEADERS = {"Content-Type": "multipart/form-data; boundary=benchmark"}


@dataclass(frozen=True)
class Call:
    """A request with one image.

    Attributes:
        body: The form.
        key: Which image it is.
        broken: Whether the image cannot be read.
    """

    body: bytes
    key: int
    broken: bool


@dataclass
class Seen:
    """What clients saw.

    Attributes:
        seconds: How long each answer to a readable image took.
        answers: The probabilities of every answer, by image.
        unexplained: Answers other than a prediction that have no sentence: status and beginning.
        wall: Seconds that everything took.
    """

    seconds: list[float] = field(default_factory=list)
    answers: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    unexplained: list[str] = field(default_factory=list)
    wall: float = 0.0

    def percentile(self, share: int) -> float:
        """Returns a percentile of the latencies in milliseconds."""
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[share - 1] * 1000


def calls(images: Sequence[bytes], count: int, broken_every: int) -> list[Call]:
    """Returns requests for these images in turn; of every `broken_every` ones, one is cut off."""
    made = []
    for number in range(count):
        key = number % len(images)
        broken = number % broken_every == broken_every - 1
        content = images[key][: 100 if broken else None]
        made.append(Call(_form(content), key, broken))
    return made


def _form(content: bytes) -> bytes:
    head = 'Content-Disposition: form-data; name="images"; filename="image.jpg"'
    return b"--benchmark\r\n%b\r\n\r\n%b\r\n--benchmark--\r\n" % (head.encode(), content)


def call_all(
    port: int, made: Iterable[Call], clients: int, read: Callable[[Any], dict[str, float]]
) -> Seen:
    """Has clients make these calls, each client one after the other on one connection.

    Args:
        port: Where the service listens.
        made: The calls.
        clients: Number of clients.
        read: Returns the probabilities in the JSON of an answer.
    """
    seen, waiting, lock = Seen(), iter(made), threading.Lock()

    def work() -> None:
        with _connection(port) as connection:
            while True:
                with lock:
                    call = next(waiting, None)
                if call is None:
                    return
                begin = time.perf_counter()
                try:
                    connection.request("POST", "/predict", call.body, HEADERS)
                    response = connection.getresponse()
                    status, content = response.status, response.read()
                except (OSError, http.client.HTTPException) as error:
                    connection.close()  # the next request opens it again
                    status, content = 0, repr(error).encode()
                seconds = time.perf_counter() - begin
                with lock:
                    _note(seen, call, status, content, seconds, read)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen.wall = time.perf_counter() - begin
    return seen


def _note(
    seen: Seen,
    call: Call,
    status: int,
    content: bytes,
    seconds: float,
    read: Callable[[Any], dict[str, float]],
) -> None:
    if status == 200 and not call.broken:
        seen.seconds.append(seconds)
        seen.answers.setdefault(call.key, []).append(read(json.loads(content)))
    elif not (400 <= status < 500 and call.broken and _sentence(content)):
        seen.unexplained.append(f"{status} {content[:60]!r}")


def _sentence(content: bytes) -> bool:
    """Whether the content is JSON with a sentence that says what is wrong."""
    try:
        detail = json.loads(content)["detail"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(detail, str) and " " in detail and detail.endswith(".")


@contextmanager
def _connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        yield connection
    finally:
        connection.close()


def spread(seen: Sequence[Seen]) -> float:
    """Returns the largest difference between two answers to the same image."""
    both = itertools.chain.from_iterable(each.answers.items() for each in seen)
    largest = 0.0
    first: dict[int, dict[str, float]] = {}
    for key, answers in both:
        for answer in answers:
            wanted = first.setdefault(key, answer)
            largest = max(largest, *(abs(answer[name] - wanted[name]) for name in wanted))
    return largest
