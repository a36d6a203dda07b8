"""The page without a browser: what its routes answer, and what they refuse."""

from __future__ import annotations

import html
import json
import re
import socket
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from PIL import Image

from clients import Client
from isotune.experiment.result import Run
from isotune.serving.page import answers
from isotune.serving.page.examples import find_examples
from isotune.serving.page.images import SentImage, SentImages, preview

pytest.importorskip("gradio")

HOSTILE = '<img src=x onerror="alert(1)">${alert(2)}{{value}}'


class Page:
    """What a browser does with the page, without its scripts."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.config: Any = None

    async def open(self) -> httpx.Response:
        response = await self.client.get("/")
        (config,) = re.findall(r"window\.gradio_config = (\{.*?\});</script>", response.text)
        self.config = json.loads(config)
        return response

    async def upload(self, content: bytes, name: str = "a.png") -> str:
        response = await self.client.post("/gradio_api/upload", files={"files": (name, content)})
        assert response.status_code == 200
        (key,) = response.json()
        return str(key)

    async def predict(self, path: str) -> str:
        """Sends the event of a new image; returns the answer's HTML."""
        (event,) = [each for each in self.events() if each["targets"] == [[self.field(), "input"]]]
        return str((await self.call(event["id"], path))[1])

    async def explain(self, path: str) -> str:
        """Sends the event that follows an answer; returns the explanation's HTML."""
        event = next(each for each in self.events() if len(each["outputs"]) == 1 and each["inputs"])
        return str((await self.call(event["id"], path))[0])

    def events(self) -> list[Any]:
        return list(self.config["dependencies"])

    def field(self) -> int:
        (found,) = [each["id"] for each in self.config["components"] if each["type"] == "image"]
        return int(found)

    async def call(self, event: int, path: str) -> list[Any]:
        image = {"path": path, "url": None, "meta": {"_type": "gradio.FileData"}}
        response = await self.client.post(
            "/gradio_api/run/predict", json={"fn_index": event, "data": [image]}
        )
        assert response.status_code == 200, response.text
        return list(response.json()["data"])


@pytest.fixture
def visit(client: Callable[..., Client]) -> Callable[..., Any]:
    """Runs a conversation with the page; limits have their names."""

    def run(talk: Callable[[Page], Awaitable[Any]], **settings: Any) -> Any:
        async def opened(http: httpx.AsyncClient) -> Any:
            page = Page(http)
            await page.open()
            return await talk(page)

        return client(page=True, **settings).talk(opened)

    return run


def sentence(answer: str) -> str:
    (found,) = re.findall(r'<p class="problem" role="alert">(.*?)</p>', answer)
    return html.unescape(found)


def test_an_answer_is_what_the_run_predicts(visit: Any, run: Run, photographs: list[bytes]) -> None:
    async def talk(page: Page) -> str:
        return await page.predict(await page.upload(photographs[0]))

    answer = visit(talk)
    shown = re.findall(r'class="name">(\w+)</span><data class="share" value="(.*?)"', answer)
    predicted = run.predict(photographs[0])
    assert [name for name, _ in shown] == [name for name, _ in predicted]
    for (_, value), (_, probability) in zip(shown, predicted, strict=True):
        assert float(value) == pytest.approx(probability, abs=1e-6)


def test_a_model_that_cannot_be_explained_says_why(
    visit: Any, photographs: list[bytes], run: Run
) -> None:
    async def talk(page: Page) -> str:
        return await page.explain(await page.upload(photographs[0]))

    assert visit(talk) == (
        '<p class="hint">the model has no part &#x27;conv&#x27;; its parts are: flatten, fc.</p>'
    )
    fields = ("spec", "classes", "plan", "engine", "batch_size", "input_spec", "thresholds")
    exported = SimpleNamespace(**{name: getattr(run, name) for name in fields})
    assert "exported model has no gradients" in visit(talk, classifier=exported)


def test_what_is_refused_is_refused_with_the_sentences_of_the_endpoint(
    visit: Any, client: Any
) -> None:
    large = BytesIO()
    Image.new("RGB", (64, 64)).save(large, "PNG")
    cases = {
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>": {},
        b"no image": {},
        large.getvalue(): {"pixels": 1000},
        bytes(2000): {"file_bytes": 1000},
        bytes(3000): {"waiting": 0},
    }

    for content, limits in cases.items():

        async def talk(page: Page, content: bytes = content) -> str:
            return await page.predict(await page.upload(content, "0.png"))

        expected = client(**limits).post(content).json()["detail"]
        assert sentence(visit(talk, **limits)) == expected


def test_a_client_cannot_have_files_or_addresses_read(visit: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)

    async def talk(page: Page) -> list[Any]:
        asked = [await page.predict(str(path)) for path in (secret, "http://127.0.0.1:1/a.png")]
        found = await page.client.get(f"/gradio_api/file={secret}")
        return [*map(sentence, asked), found.status_code]

    gone = "the image is no longer here; send it again."
    assert visit(talk) == [gone, gone, 404]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/config"),
        ("GET", "/gradio_api/info"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/app_id"),
        ("GET", "/gradio_api/token"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/gradio_api/deep_link?session_hash=a"),
        ("GET", "/gradio_api/proxy=https://a.hf.space/b"),
        ("GET", "/gradio_api/file=https://example.com/a.png"),
        ("GET", "/gradio_api/file/etc/passwd"),
        ("GET", "/gradio_api/heartbeat/a"),
        ("GET", "/gradio_api/queue/data?session_hash=a"),
        ("GET", "/gradio_api/stream/a/b/c/playlist.m3u8"),
        ("GET", "/gradio_api/vibe-code"),
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", "/static/%2e%2e/%2e%2e/package.json"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/call/predict"),
        ("POST", "/gradio_api/api/predict"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/login"),
        ("GET", "/logout"),
        ("GET", "/manifest.json"),
    ],
)
def test_what_gradio_opens_besides_is_closed(opened: Any, method: str, path: str) -> None:
    assert opened(method, path) in (403, 404, 405)


@pytest.fixture(scope="module")
def opened(trained: Callable[[str], Run]) -> Any:
    """Returns the status of a request to one application."""
    from isotune.serving.app import create_app
    from isotune.serving.service import Service

    service = Service(trained("numpy"))
    client = Client(service)
    client.app = create_app(service, page=True)
    yield lambda method, path: client.ask((method, path, {}))[0].status_code
    service.close()


def test_names_of_classes_are_text(visit: Any, run: Run, client: Any) -> None:
    hostile = replace(run, classes=(HOSTILE, *run.classes[1:]))

    async def talk(page: Page) -> tuple[str, str]:
        response = await page.client.get("/")
        image = BytesIO()
        Image.new("RGB", (8, 8)).save(image, "PNG")
        return response.text, await page.predict(await page.upload(image.getvalue()))

    page, answer = visit(talk, classifier=hostile)
    for text in (page, answer):
        assert "<img src=x" not in text
        assert "${alert" not in text and "{{value}}" not in text
    assert html.unescape(answer).count(HOSTILE) >= 1


def test_the_policy_lets_no_other_host_and_no_other_script_in(visit: Any) -> None:
    async def talk(page: Page) -> httpx.Response:
        return await page.client.get("/?deep_link=abc", headers={"accept-encoding": "br"})

    response = visit(talk)
    policy = dict(
        part.strip().split(" ", 1)
        for part in response.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert "http" not in response.headers["content-security-policy"]
    assert "unsafe-inline" not in policy["script-src"]
    assert "content-encoding" not in response.headers


def test_the_page_leaves_no_file_and_calls_nobody(
    visit: Any, photographs: list[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[Any] = []

    def call(*arguments: Any, **options: Any) -> None:
        called.append(arguments)
        raise OSError("there is no network")

    monkeypatch.setattr(socket, "getaddrinfo", call)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "True")

    async def talk(page: Page) -> str:
        return await page.predict(await page.upload(photographs[0]))

    assert "bars" in visit(talk)
    assert (list(tmp_path.iterdir()), called) == ([], [])


def test_images_are_kept_within_bounds() -> None:
    now = 0.0
    images = SentImages(held_bytes=12_000, seconds=60, clock=lambda: now)
    keys = [images.add(SentImage(str(number), bytes(4000))) for number in range(3)]
    assert [images.get(key) is not None for key in keys] == [False, True, True]
    now = 61.0
    assert images.get(keys[-1]) is None


def test_a_preview_is_an_image_whatever_was_sent() -> None:
    photograph = BytesIO()
    Image.new("RGB", (3000, 1500), "red").save(photograph, "TIFF")
    content, kind = preview(SentImage("a", photograph.getvalue()), 10_000_000)
    with Image.open(BytesIO(content)) as small:
        assert (small.size, kind) == ((1024, 512), "image/jpeg")
    content, kind = preview(SentImage("a", b"<svg onload='alert(1)'/>"), 10_000_000)
    with Image.open(BytesIO(content)) as blank:
        assert (blank.size, blank.format, kind) == ((1, 1), "PNG", "image/png")


def test_examples_have_their_share_of_every_class(run: Run) -> None:
    examples = find_examples(run, 6)
    assert [each.label for each in examples.thumbnails] == [
        *("ants", "ants", "bees", "bees", "cats", "cats")
    ]
    _, content = examples.file(0)
    paths = sorted((Path(run.spec.dataset.path) / "val" / "ants").glob("*.png"))
    assert run.predict(content) == run.predict(paths[1])  # the second of four


def test_there_are_no_examples_without_the_dataset(run: Run, tmp_path: Path) -> None:
    dataset = run.spec.dataset.model_copy(
        update={"path": str(tmp_path / "gone"), "url": "http://127.0.0.1:1/a.zip"}
    )
    moved = replace(run, spec=run.spec.model_copy(update={"dataset": dataset}))
    assert find_examples(moved).thumbnails == ()


def test_probabilities_are_shown_with_a_decimal() -> None:
    assert [answers.share(each) for each in (0.98765, 0.0001, 0.0)] == [
        "98.8%",
        "&lt; 0.1%",
        "0.0%",
    ]
