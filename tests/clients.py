"""Clients of a service that is in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from isotune.serving.app import create_app
from isotune.serving.service import Service


@dataclass
class Client:
    """Calls an application in this process, as a client on the same machine does."""

    service: Service
    settings: dict[str, Any] = field(default_factory=dict)
    app: Any = None

    def ask(self, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        """Makes requests at the same time: method, path and what httpx takes."""

        async def everything(client: httpx.AsyncClient) -> list[httpx.Response]:
            calls = (client.request(method, path, **rest) for method, path, rest in requests)
            return list(await asyncio.gather(*calls))

        return self.talk(everything)

    def talk(self, talk: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        """Runs a conversation."""

        async def run() -> Any:
            app = self.app or create_app(self.service, **self.settings)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:8000"
            ) as client:
                return await talk(client)

        return asyncio.run(run())

    def get(self, path: str, **rest: Any) -> httpx.Response:
        return self.ask(("GET", path, rest))[0]

    def post(self, *images: bytes, **rest: Any) -> httpx.Response:
        """Posts images to ``/predict``."""
        return self.ask(posted(*images, **rest))[0]


def posted(*images: bytes, **rest: Any) -> tuple[str, str, dict[str, Any]]:
    """Returns a request with these images."""
    files = [("images", (f"{number}.png", image)) for number, image in enumerate(images)]
    return "POST", "/predict", {"files": files, **rest}
