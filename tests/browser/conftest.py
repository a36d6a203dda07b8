"""A real browser in front of a real service: Debian's Chromium, driven by Playwright.

``make test-browser`` installs both; where Playwright is missing nothing here is collected.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from isotune.experiment.result import Run
from isotune.serving.limits import Limits
from tiny import experiment, make_images
from zoo import run as train

NEEDED = ("playwright", "gradio", "uvicorn")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

collect_ignore_glob = [] if all(map(find_spec, NEEDED)) else ["test_*.py"]

TIMEOUT = 60_000
"""Milliseconds after which what does not happen is a failure, on a busy machine too."""

WIDE, NARROW = (1280, 900), (390, 844)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of a small convolutional net, with four validation images a class."""
    root = tmp_path_factory.mktemp("browser")
    images = make_images(root / "images", val=4)
    backbone = {"name": "tiny_bn", "weights": "none"}
    return train("torch", experiment(images, backbone=backbone), root / "run")


@pytest.fixture(scope="session")
def photographs(run: Run) -> list[Path]:
    """The validation images, class by class."""
    return sorted(Path(run.spec.dataset.path).glob("val/*/*.png"))


@pytest.fixture(scope="session")
def serve(run: Run) -> Iterator[Callable[..., str]]:
    """Serves a classifier, usually the run, and returns the address: ``serve(token="...")``."""
    served: list[_Served] = []

    def start(classifier: Any = None, token: str | None = None, **limits: Any) -> str:
        served.append(_Served(classifier or run, Limits(**limits), token))
        return served[-1].url

    yield start
    for each in served:
        each.close()


class _Served:
    """A service in a thread of this process."""

    def __init__(self, classifier: Any, limits: Limits, token: str | None) -> None:
        import uvicorn

        from isotune.serving.app import create_app
        from isotune.serving.service import Service

        self._service = Service(classifier, limits.pixels)
        app = create_app(self._service, limits, token=token, page=True)
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        serving = self._server.serve(sockets=[listener])
        self._thread = threading.Thread(target=asyncio.run, args=(serving,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._service.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("there is no Chromium; `apt-get install chromium` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found,
            args=[
                "--no-sandbox",  # Chromium does not start as root otherwise
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield browser
        browser.close()


@dataclass
class Visit:
    """A tab with the page, and all that went wrong or to other hosts.

    Attributes:
        tab: Playwright's page.
        url: The service's address.
        errors: Errors in the console, exceptions of scripts, and dialogs.
        elsewhere: Requests to other hosts.
    """

    tab: Any
    url: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Starts to listen."""
        self.tab.on("console", self._console)
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("dialog", self._dialog)
        self.tab.on("request", self._request)

    def open(self) -> None:
        """Opens the page and waits for it to be usable."""
        self.tab.goto(self.url)
        self.tab.locator("#image input[type=file]").wait_for(state="attached")

    def upload(self, file: Path) -> None:
        """Chooses a file in the field."""
        self.tab.locator("#image input[type=file]").set_input_files(file)

    def answer(self) -> list[tuple[str, float, str]]:
        """Waits for an answer: names, probabilities, and the probabilities as shown."""
        self.tab.locator("#answer .best").wait_for()
        return [
            (
                row.locator(".name").inner_text(),
                float(row.locator(".share").get_attribute("value")),
                row.locator(".share").inner_text(),
            )
            for row in self.tab.locator("#answer .bars > li").all()
        ]

    def problem(self) -> str:
        """Waits for a sentence in place of an answer."""
        return str(self.tab.locator("#answer [role=alert]").inner_text())

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _dialog(self, dialog: Any) -> None:
        self.errors.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.elsewhere.append(request.url)


@pytest.fixture
def visit(
    chromium: Any, serve: Callable[..., str], home_url: str
) -> Iterator[Callable[..., Visit]]:
    """Opens the page in a new tab: ``visit(size=NARROW)``. It ends without errors in the console
    and without a request to another host."""
    visits = []

    def start(
        url: str | None = None, size: tuple[int, int] = WIDE, watched: bool = True, **options: Any
    ) -> Visit:
        width, height = size
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            permissions=["camera", "clipboard-read", "clipboard-write"],
            **options,
        )
        context.set_default_timeout(TIMEOUT)
        visits.append(Visit(context.new_page(), url or home_url))
        if watched:
            visits[-1].watch()
        visits[-1].open()
        return visits[-1]

    yield start
    for each in visits:
        each.tab.context.close()
        assert (each.errors, each.elsewhere) == ([], [])


@pytest.fixture(scope="session")
def home_url(serve: Callable[..., str]) -> str:
    """The address of one service for all tests that ask for nothing special."""
    return serve()
