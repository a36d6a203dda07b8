"""What stands between the network and every route: who may call, and how much they may send."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import logging
import secrets
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isotune.serving.limits import Limits, Refusal, size

log = logging.getLogger(__name__)

OPEN = ("/health",)
"""Paths that need no token: what watches a service has none."""

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

_CHALLENGES = ('Bearer realm="isotune"', 'Basic realm="isotune", charset="UTF-8"')
_SAFE = ("GET", "HEAD")
_DRAIN_SECONDS = 2.0


class Guard:
    """ASGI middleware around the whole application.

    It refuses, in this order, names of the host that are not this service's (DNS rebinding),
    requests that a page of another site makes, and requests without the token. It bounds the
    bytes and the time of every body, adds security headers, lets no other site read an answer
    (CORS), and answers a fault of the application with one sentence.

    Args:
        app: The application.
        limits: Bounds on bodies.
        hosts: Host names that the service has besides ``localhost`` and its addresses.
        token: What clients have to send; None asks for nothing.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, hosts: Collection[str] = (), token: str | None = None
    ) -> None:
        self._app = app
        self._limits = limits
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request (https://asgi.readthedocs.io)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        body = _Body(receive, Headers(scope=scope), self._limits)
        answer = _Answer(send, body)
        try:
            self._check(scope)
            body.check_length()
            await self._app(scope, body, answer)
        except HTTPException as refusal:
            await _refuse(refusal, answer)
        except Exception as error:
            if body.refusal is not None:
                await _refuse(body.refusal, answer)
                return
            log.error("a request failed: %s: %s", type(error).__name__, error, exc_info=True)
            failure = HTTPException(500, "the service failed at this request; its log says why.")
            await _refuse(failure, answer)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_own(host):
            raise Refusal(
                421,
                f"this service is not called '{host}'; use its address, or start it with"
                " --allow-host.",
            )
        if scope["method"] not in _SAFE and _comes_from_another_site(headers, host):
            raise Refusal(403, "the request comes from a page of another site.")
        if self._token is not None and scope["path"] not in OPEN:
            sent = _token_of(headers.get("authorization", ""))
            if not secrets.compare_digest(sent, self._token.encode()):
                raise Refusal(
                    401, "the request needs the service's token: Authorization: Bearer TOKEN."
                )

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this service. An address is safe: no site's name is one."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class _Body:
    """Receives the body of a request within limits on its bytes and its time.

    Attributes:
        complete: Whether the body has ended.
        refusal: What was wrong with it, if the application swallowed the exception.
    """

    def __init__(self, receive: Receive, headers: Headers, limits: Limits) -> None:
        self._receive = receive
        self._headers = headers
        self._limits = limits
        self._count = 0
        self._deadline = asyncio.get_running_loop().time() + limits.body_seconds
        self.complete = not {"content-length", "transfer-encoding"} & set(headers)
        self.refusal: Refusal | None = None

    def check_length(self) -> None:
        """Refuses a body that says itself that it is too large."""
        length = self._headers.get("content-length", "0")
        if length.isdigit() and int(length[:20]) > self._limits.request_bytes:
            raise self._too_large()

    async def __call__(self) -> Message:
        if self.complete:  # now it waits for the client to go
            return await self._receive()
        left = self._deadline - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(
                self._receive(), max(min(left, self._limits.idle_seconds), 0)
            )
        except asyncio.TimeoutError:
            self.refusal = Refusal(408, "the body of the request came too slowly.")
            raise self.refusal from None
        self._count += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if self._count > self._limits.request_bytes:
            self.refusal = self._too_large()
            raise self.refusal
        return message

    async def drain(self) -> None:
        """Discards what a client still sends for a moment, so that it reads its answer.

        A connection that is closed before would lose the answer.
        """
        if "expect" in self._headers:
            return  # it waits for the answer before it sends anything

        async def discard() -> None:
            while not self.complete:
                message = await self._receive()
                self.complete = not message.get("more_body", False)

        try:
            await asyncio.wait_for(discard(), _DRAIN_SECONDS)
        except asyncio.TimeoutError:
            return

    def _too_large(self) -> Refusal:
        limit = size(self._limits.request_bytes)
        return Refusal(413, f"the request has more than {limit}, the most that this service takes.")


class _Answer:
    """Sends a response with security headers, and ends the connection if a body is not read.

    Attributes:
        started: Whether its status has been sent.
    """

    def __init__(self, send: Send, body: _Body) -> None:
        self._send = send
        self._body = body
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            await self._send({**message, "headers": self._headers(message.get("headers", []))})
        elif message.get("more_body", False) or self._body.complete:
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._body.drain()
            await self._send({"type": "http.response.body"})

    def _headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        kept = [
            (name, value)
            for name, value in headers
            if not name.lower().startswith(b"access-control-") and name.lower() != b"server"
        ]
        present = {name.lower() for name, _ in kept}
        added = {**SECURITY_HEADERS, **({} if self._body.complete else {"connection": "close"})}
        kept += [
            (name.encode(), value.encode())
            for name, value in added.items()
            if name.encode() not in present
        ]
        return kept


async def _refuse(refusal: HTTPException, answer: _Answer) -> None:
    """Answers with a sentence, unless another answer has begun."""
    if answer.started:
        raise refusal
    response = JSONResponse({"detail": refusal.detail}, refusal.status_code)
    headers = [*response.raw_headers, (b"cache-control", b"no-store")]
    if refusal.status_code == 401:
        headers += [(b"www-authenticate", value.encode()) for value in _CHALLENGES]
    start = {"status": response.status_code, "headers": headers}
    await answer({"type": "http.response.start", **start})
    await answer({"type": "http.response.body", "body": response.body})


def _comes_from_another_site(headers: Headers, host: str) -> bool:
    """Whether a browser says so (Fetch Metadata, https://www.w3.org/TR/fetch-metadata/)."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get("origin")
    # Without its scheme, an origin is what a Host header has; anything else is no own page's.
    return origin is not None and origin.partition("://")[2].lower() != host.lower()


def _token_of(authorization: str) -> bytes:
    """Returns the token of an Authorization header: RFC 6750, or RFC 7617's password."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("utf-8", "replace")
    if scheme.lower() == "basic":  # browsers ask their users for it
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
