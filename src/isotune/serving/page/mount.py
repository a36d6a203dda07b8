"""Puts the page into a service's application and closes what Gradio opens beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from tempfile import TemporaryDirectory

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from isotune.serving.door import Door
from isotune.serving.limits import Limits, Refusal
from isotune.serving.page.examples import find_examples
from isotune.serving.page.images import SentImage, SentImages, preview
from isotune.serving.page.policy import WithPolicy
from isotune.serving.page.predictor import Predictor
from isotune.serving.service import Service
from isotune.serving.upload import read_upload

UPLOAD, PROGRESS, FILE = "/gradio_api/upload", "/gradio_api/upload_progress", "/gradio_api/file="
"""Where Gradio's page in the browser sends and finds images."""

READ = ("/theme.css", "/static/", "/assets/")
RUN = "/gradio_api/run/predict"
"""All that the page needs of Gradio's own routes, besides the page itself."""

FOLDER = "GRADIO_TEMP_DIR"
"""Environment variable that names Gradio's folder."""

SESSIONS = 64
"""Number of visitors whose last answer Gradio keeps."""


def mount_page(app: FastAPI, service: Service, limits: Limits, door: Door) -> None:
    """Puts the page at ``/``, behind all routes that the application has already.

    Args:
        app: The application.
        service: The model.
        limits: What visitors may send.
        door: Bounds what waits, and the bytes that it holds.
    """
    images = SentImages(limits.held_bytes // 4)
    app.include_router(_image_routes(images, service, limits, door))
    with _own_folder():
        _mount(app, Predictor(service, door), images)
    mount = app.routes[-1]
    assert isinstance(mount, Mount), "Gradio was mounted last"
    mount.app = Gate(mount.app)


@contextmanager
def _own_folder() -> Iterator[None]:
    """Gives Gradio a folder in the block, for what it always makes and the page never uses.

    Its usual one is shared by all users of a machine, and belongs to the first of them.
    """
    before = os.environ.get(FOLDER)
    with TemporaryDirectory(prefix="isotune-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]
            if before is not None:
                os.environ[FOLDER] = before


def _mount(app: FastAPI, predictor: Predictor, images: SentImages) -> None:
    import gradio

    from isotune.serving.page.layout import THEME, build

    classifier, here = predictor.classifier, files("isotune.serving.page")
    title = f"Isotune: {classifier.spec.name}"
    page = build(predictor, images, find_examples(classifier), title)
    page.state_session_capacity = SESSIONS
    gradio.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=THEME,
        css=(here / "page.css").read_text("utf-8"),
        js=(here / "page.js").read_text("utf-8"),
    )


def _image_routes(images: SentImages, service: Service, limits: Limits, door: Door) -> APIRouter:
    """Returns routes in place of Gradio's own, which keep files on the disk."""
    routes = APIRouter(include_in_schema=False)
    pixels = min(limits.pixels, service.classifier.spec.dataset.max_pixels)

    @routes.post(UPLOAD)
    async def upload(request: Request) -> list[str]:
        # A refusal is kept like an image: the page then shows its sentence as the answer.
        try:
            with door.entered() as visit:
                sent = await read_upload(request, limits, visit.hold, "files")
        except Refusal as refusal:
            return [images.add(SentImage("the image", problem=refusal.detail))]
        pairs = zip(sent.names, sent.contents, strict=True)
        return [images.add(SentImage(name, content)) for name, content in pairs]

    @routes.get("/favicon.ico")
    def icon() -> Response:
        content = (files("isotune.serving.page") / "icon.svg").read_bytes()
        return Response(content, media_type="image/svg+xml")

    @routes.get(PROGRESS)
    async def progress() -> Response:
        return Response('data: {"msg": "done"}\n\n', media_type="text/event-stream")

    @routes.get(FILE + "{key}")
    def file(key: str) -> Response:  # in a thread, since it decodes
        image = images.get(key)
        if image is None:
            return JSONResponse({"detail": "the image is no longer here."}, 404)
        content, media_type = preview(image, pixels)
        return Response(content, media_type=media_type, headers={"cache-control": "private"})

    return routes


class Gate:
    """ASGI middleware that lets through only those requests to Gradio that the page makes.

    Gradio also serves uploaded files of others, fetches files of other hosts, tells its settings,
    queues calls, records runs, and more; none of it is needed.

    Args:
        app: Gradio's application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        if path == "/" and method in ("GET", "HEAD"):
            # Without its query, where Gradio would look for a saved session, and not compressed.
            headers = [each for each in scope["headers"] if each[0] != b"accept-encoding"]
            plain = {**scope, "query_string": b"", "headers": headers}
            await self._app(plain, receive, WithPolicy(send))
        elif (path.startswith(READ) and method == "GET") or (path == RUN and method == "POST"):
            await self._app(scope, receive, send)
        else:
            response = JSONResponse({"detail": f"there is no {method} here."}, 404)
            await response(scope, receive, send)
