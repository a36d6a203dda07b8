"""The Content Security Policy of the page (https://www.w3.org/TR/CSP3/)."""

from __future__ import annotations

import base64
import hashlib
import re

from starlette.types import Message, Send

_SCRIPT = re.compile(rb"<script\b[^>]*>(.*?)</script>", re.DOTALL)

# Gradio compiles templates ('unsafe-eval') and sets styles, but no element needs a handler.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval' {hashes}; style-src 'self'"
    " 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:;"
    " connect-src 'self'; manifest-src 'self'; base-uri 'self'; form-action 'none';"
    " frame-ancestors 'none'"
)


def policy(document: bytes) -> str:
    """Returns the policy for an HTML document: its own scripts run, and no other one does.

    A browser that follows it connects to no other host, whatever the scripts try, and ignores
    scripts and event handlers that are put into the page later.
    """
    hashes = []
    for script in _SCRIPT.findall(document):
        if script:
            digest = base64.b64encode(hashlib.sha256(script).digest()).decode("ascii")
            hashes.append(f"'sha256-{digest}'")
    return _POLICY.format(hashes=" ".join(hashes))


class WithPolicy:
    """Sends a response with its policy, once its body is complete."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        """Takes a message of the response."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        body = bytes(self._body)
        headers = [*self._start["headers"], (b"content-security-policy", policy(body).encode())]
        headers.append((b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"))
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
