"""Ways in which a server lies, breaks off, floods, drips, or sends something else."""

from __future__ import annotations

import gzip
import random
import socket
import struct
import time
from collections.abc import Callable

from raw_server import Answer, endless, head, in_order

Behavior = Callable[[random.Random, bytes, str], Answer]
"""Draws how a server answers that should send some content. The last argument is its address."""

MIB = 1 << 20
DIGITS = "9" * 5000
CHUNKED = "Transfer-Encoding: chunked"
ETAG = 'ETag: "hostile"'

BOMB = gzip.compress(bytes(16 * MIB))
"""One member of a gzip file; repeated, it unpacks to as much as one likes."""

PAGES = (
    b"<!doctype html><title>Sign in</title>",
    b"\xef\xbb\xbf\n<HTML><body>404",
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    b'{"error": "quota exceeded"}',
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
    b"",
    b"\0" * 5000,
    b"\x1f\x8b",
    b"PK\x05\x06" + bytes(18),
    BOMB,
)


def always(content: bytes) -> Answer:
    return in_order(content)


def wrong_length(rng: random.Random, content: bytes, _: str) -> Answer:
    size = len(content)
    short = rng.randrange(size)
    lengths = [str(short), str(size + 1), str(size + 10 * MIB), str(10**15), DIGITS, "0" * 5000]
    lengths += ["0", f"-{size}", f"+{size}", f"{size}.0", "0x10", "", "many", f"{size},{size}"]
    lengths += ["\xb2", f"{size}\r\nContent-Length: {short}", f"{size}\r\n {short}"]
    return always(head(f"Content-Length: {rng.choice(lengths)}", ETAG) + content)


def wrong_chunks(rng: random.Random, content: bytes, _: str) -> Answer:
    whole = b"%x\r\n%b\r\n" % (len(content), content)
    cut = rng.randrange(len(content))
    bodies = [
        whole,  # and no end
        whole + b"0",
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(content) + 5, content),
        b"%x\r\n%b\r\n0\r\n\r\n" % (cut, content),
        b"-1\r\n" + content,
        b"-%x\r\n%b\r\n0\r\n\r\n" % (len(content), content),
        b"f" * 5000 + b"\r\n" + content,
        b"zz\r\n" + content,
        b"\r\n\r\n" + whole,
        content,
        b"0\r\n\r\n",
        whole.replace(b"\r\n", b";" + b"x" * 70_000 + b"\r\n", 1) + b"0\r\n\r\n",
    ]
    lines = rng.choice([[CHUNKED], [CHUNKED, f"Content-Length: {cut}"], [CHUNKED, CHUNKED]])
    return always(head(*lines, ETAG) + rng.choice(bodies))


def other_encoding(rng: random.Random, content: bytes, _: str) -> Answer:
    transfer = ("gzip", "gzip, chunked", "chunked, chunked", "identity", "x" * 10_000)
    coded = rng.choice(["gzip", "deflate", "br", "zstd", "gzip, gzip, gzip", "\xff"])
    bomb = BOMB * 100
    answers = [
        head(f"Transfer-Encoding: {rng.choice(transfer)}", ETAG) + content,
        head(f"Content-Length: {len(bomb)}", f"Content-Encoding: {coded}") + bomb,
        head(f"Content-Length: {len(content)}", f"Content-Encoding: {coded}") + content,
    ]
    return always(rng.choice(answers))


def something_else(rng: random.Random, content: bytes, _: str) -> Answer:
    del content
    page = rng.choice(PAGES)
    return always(head(f"Content-Length: {len(page)}", ETAG) + page)


def garbage(rng: random.Random, content: bytes, _: str) -> Answer:
    answers = [
        b"",
        b"\x16\x03\x01\x02\x00\x01" + rng.randbytes(50),
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        content,
        rng.randbytes(200),
        bytes(5000),
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5",
        b"HTTP/1.1 " + DIGITS.encode() + b" OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n" + content,
        b"HTTP/1.1 \xb2\xb0\xb0 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n" + content,
        b"\r\n" * 1000,
    ]
    return always(rng.choice(answers))


def odd_headers(rng: random.Random, content: bytes, _: str) -> Answer:
    odd = [
        [f"H{number}: x" for number in range(rng.choice([90, 200, 5000]))],
        ["H: " + "x" * 70_000],
        ["no colon"],
        [": no name"],
        ["N\0ul: \0"],
        [f'ETag: "{"x" * 10_000}"'],
        ['ETag: "a\r\n b"'],
        ['ETag: "\x1b[31m\xff"'],
        ["Last-Modified: Thu, 99 Foo 99999999999 99:99:99 +9999999", "Date: yesterday"],
        ["Last-Modified: Thu, 01 Jan 1970 00:00:00 -0000", "Date: Thu, 01 Jan 9999 00:00:00 GMT"],
        [f"Set-Cookie: c{number}={'x' * 500}" for number in range(50)],
        ["Content-Type: text/html; charset=\0", "Content-Disposition: attachment; filename=../x"],
        ["Connection: keep-alive", "Keep-Alive: timeout=99999999"],
        ["Upgrade: h2c", "Connection: Upgrade"],
    ]
    before = head(f"Content-Length: {len(content)}", *rng.choice(odd))
    cut = rng.randrange(len(content))
    return in_order(before + content[:cut], before + content)


def mutated(rng: random.Random, content: bytes, _: str) -> Answer:
    """Changes, repeats or leaves out some bytes of the headers of a good response."""
    lines = [f"Content-Length: {len(content)}", ETAG, "Accept-Ranges: bytes", "X: y"]
    before = bytearray(head(*lines))
    for _ in range(rng.randint(1, 5)):
        start = rng.randrange(len(before))
        end = start + rng.choice([0, 1, 1, 1, 5])
        new = [rng.randbytes(1), b"", before[start:end] * 3, rng.choice([b"\r", b"\n", b":", b"9"])]
        before[start:end] = rng.choice(new)
    return always(bytes(before) + content)


def status(rng: random.Random, content: bytes, _: str) -> Answer:
    codes = (100, 101, 199, 204, 205, 206, 226, 300, 304, 305, 400, 401, 403, 404, 407, 408, 416)
    code = rng.choice([*codes, 418, 429, 451, 500, 503, 504, 511, 600, 999])
    lines = [f"Content-Length: {len(content)}", "Retry-After: 99999999999"]
    wrong = head(*lines, status=f"{code} {rng.choice(['', 'Fine', 'x' * 5000])}") + content
    return in_order(*[wrong] * rng.choice([1, 5]), head(lines[0]) + content)


def partial(rng: random.Random, content: bytes, _: str) -> Answer:
    """Breaks off, and answers the request for the rest with something else."""
    size, cut = len(content), rng.randrange(1, len(content))
    versions = [*[ETAG] * 4, 'ETag: W/"hostile"', "Last-Modified: Wed, 01 Oct 2025 10:00:00 GMT"]
    first, second = rng.choice(versions), rng.choice([*versions, 'ETag: "other"', "X: y"])
    ranges = [f"bytes {cut}-{size - 1}/{size}", f"bytes {cut - 1}-{size - 1}/{size}"]
    ranges += [f"bytes {cut}-{size - 1}/*", f"bytes {cut}-{size - 1}/{size + 5}", "bytes */5", ""]
    ranges += [f"bytes {cut}-{DIGITS}/{DIGITS}", f"bytes {DIGITS}-{size}/{size}", "bytes 5-0/1"]
    wanted = rng.choice([ranges[0]] * 5 + ranges)
    flipped = bytearray(content[cut:])
    flipped[rng.randrange(size - cut)] ^= 1
    other = bytes(flipped)  # another version, which differs in a bit
    rest = rng.choice([*[other] * 8, content[cut:], content[cut:] * 2, content, b""])
    if first == second and wanted == ranges[0]:
        rest = content[cut:]  # else it says that other bytes are those of the same version
    date = f"Date: Wed, 01 Oct 2025 10:0{rng.randrange(3)}:00 GMT"
    code = rng.choice([*["206 Partial Content"] * 6, "416 No", "200 OK"])
    answered = head(f"Content-Range: {wanted}", second, date, status=code) + rest
    if code == "200 OK":
        answered = head(f"Content-Length: {size}", second, date) + content
    begun = head(f"Content-Length: {size}", first, date) + content[:cut]
    return in_order(begun, *[answered] * rng.choice([1, 9]), begun + content[cut:])


def redirect(rng: random.Random, content: bytes, url: str) -> Answer:
    del content
    targets = [url, f"{url}/{'x' * 60_000}", "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"]
    targets += ["javascript:alert(1)", "http://[", "http://127.0.0.1:99999/", "http://127.0.0.1:9/"]
    targets += ["//", "", "\0", "\xff\xfe", "http://user:secret@127.0.0.1:9/?secret", "gopher://x"]
    targets += [url.replace("http:", "https:"), "http://" + "a" * 300, "http://xn--a/", "?" * 9000]
    before = head(f"Location: {rng.choice(targets)}", "Content-Encoding: gzip", status="302 Found")
    return rng.choice([always(before), always(before + BOMB * 300), endless(before, b"\x1f\x8b\0")])


def flood(rng: random.Random, content: bytes, _: str) -> Answer:
    floods = [
        (head(CHUNKED, ETAG), b"10\r\n0123456789abcdef\r\n"),
        (head(CHUNKED), b"10000\r\n" + bytes(1 << 16) + b"\r\n"),
        (head(CHUNKED) + b"1;", b"x"),
        (head(CHUNKED) + b"0\r\n", b"Trailer: x\r\n"),
        (head(f"Content-Length: {len(content)}") + content, b"more"),
        (head("Content-Length: 2000000"), b"x"),
        (head(), b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"Name: value\r\n"),
        (b"HTTP/1.1 200 OK\r\nName:", b" x"),
        (b"", head(status="100 Continue")),
        (b"", head(status="102 Processing")),
        (b"HTTP/1.1 200 ", b"x"),
        (b"", b"\r\n"),
        (b"", b"\0"),
    ]
    return endless(*rng.choice(floods))


def drip(rng: random.Random, content: bytes, _: str) -> Answer:
    del content
    before, piece = rng.choice(
        [
            (head("Content-Length: 100000", ETAG), b"x"),
            (head(CHUNKED), b"1\r\nx\r\n"),
            (head(CHUNKED) + b"1", b"0"),
            (b"HTTP/1.1 200 OK\r\nName: ", b"x"),
            (b"", head(status="100 Continue")),
        ]
    )

    def answer(connection: socket.socket, _: str) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(before)
        while True:
            connection.sendall(piece)
            time.sleep(0.001)

    return answer


def silence(rng: random.Random, content: bytes, _: str) -> Answer:
    sent = rng.choice(
        [b"", b"HTTP/1.1", head("Content-Length: 99", ETAG), head(CHUNKED) + b"5\r\n"]
    )
    sent += content[: rng.randrange(50)] if sent.endswith(b"\r\n\r\n") else b""

    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(sent)
        connection.recv(1)  # until the client gives up

    return answer


def reset(rng: random.Random, content: bytes, _: str) -> Answer:
    sent = head(f"Content-Length: {len(content)}", ETAG) + content
    sent = sent[: rng.randrange(len(sent))]

    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(sent)
        # Closing with this option sends a reset in place of what is not sent yet.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return answer


BEHAVIORS: tuple[Behavior, ...] = (
    *[partial] * 6,
    wrong_length,
    wrong_chunks,
    other_encoding,
    something_else,
    garbage,
    odd_headers,
    mutated,
    status,
    redirect,
    flood,
    drip,
    silence,
    reset,
)
