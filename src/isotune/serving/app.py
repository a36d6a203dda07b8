"""The web application: predictions for programs, their documentation, and the page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from isotune.errors import DatasetError, RunError
from isotune.experiment.prediction import Prediction
from isotune.printable import message_line
from isotune.serving.documentation import POLICY, documentation
from isotune.serving.door import Door
from isotune.serving.guard import Guard
from isotune.serving.limits import Limits, Refusal
from isotune.serving.schemas import (
    EXAMPLE,
    FORM,
    PROBLEMS,
    ClassProbability,
    HealthResponse,
    ImageResult,
    PredictResponse,
)
from isotune.serving.service import Service
from isotune.serving.upload import Upload, read_upload

T = TypeVar("T")

log = logging.getLogger(__name__)

DEFAULT_TOP = 5
"""Number of classes for each image of a request that does not say how many."""


def create_app(
    service: Service,
    limits: Limits | None = None,
    *,
    hosts: Collection[str] = (),
    token: str | None = None,
    page: bool = False,
) -> FastAPI:
    """Returns the application for a model.

    Args:
        service: The model.
        limits: What it takes from clients.
        hosts: Names of the host besides ``localhost``; its addresses are always allowed.
        token: What clients have to send; None asks for nothing.
        page: Whether there is a page for people at ``/``, which needs Gradio.
    """
    limits = limits or Limits()
    app = FastAPI(
        title=f"Isotune: {service.classifier.spec.name}",
        description=f"Classifies images as {', '.join(service.classifier.classes[:20])}.",
        version="1",
        docs_url=None,
        redirect_slashes=False,
        redoc_url=None,
    )
    door = Door(limits)
    _add_routes(app, service, limits, door)
    if page:
        from isotune.serving.page.mount import mount_page

        mount_page(app, service, limits, door)
    app.add_exception_handler(404, _no_page)
    app.add_exception_handler(405, _no_method)
    app.add_middleware(Guard, limits=limits, hosts=hosts, token=token)
    return app


def _add_routes(app: FastAPI, service: Service, limits: Limits, door: Door) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        headers = {"content-security-policy": POLICY}
        return HTMLResponse(documentation(app.openapi()), headers=headers)

    @app.get("/health")
    async def health() -> HealthResponse:
        """Says that the service answers; needs no token."""
        return HealthResponse(status="ok")

    @app.post(
        "/predict",
        openapi_extra={"requestBody": FORM, "x-example": EXAMPLE},
        responses=PROBLEMS,
        response_model_exclude_none=True,
    )
    async def predict(request: Request) -> PredictResponse:
        """Predicts the classes of images.

        An image that cannot be read has an `error` in place of `predictions`, and the others are
        answered. If none can be read, the status is 422.
        """
        with door.entered() as visit:
            upload = await read_upload(request, limits, visit.hold)
            return await _while_connected(request, _predict(service, upload))


async def _while_connected(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """Computes an answer as long as there is a client to get it.

    Raises:
        Refusal: The client is gone; nobody reads this.
    """
    working = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(request.receive())  # after the body: that the client has gone
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Refusal(400, "the client has closed the connection.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _predict(service: Service, upload: Upload) -> PredictResponse:
    top = min(upload.top or DEFAULT_TOP, len(service.classifier.classes))
    try:
        predictions = await service.predict(upload.contents, top, upload.names)
    except RunError as error:
        log.error("%s", error)
        raise Refusal(500, "the model failed at these images; its log says why.") from error
    errors = [each for each in predictions if isinstance(each, DatasetError)]
    if len(errors) == len(predictions):
        more = f" Nor can the other {len(errors) - 1}." if len(errors) > 1 else ""
        raise Refusal(422, f"{errors[0]}{more}")
    several = service.classifier.thresholds is not None
    return PredictResponse(
        results=[_result(*each, several) for each in zip(upload.names, predictions, strict=True)]
    )


async def _no_page(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "there is no such page; /docs describes what there is."}, 404)


async def _no_method(request: Request, error: Exception) -> JSONResponse:
    sentence = f"{request.scope['path']} takes no {request.method}; /docs describes what it takes."
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"detail": message_line(sentence)}, 405, headers)


def _result(name: str, prediction: Prediction | DatasetError, several: bool) -> ImageResult:
    if isinstance(prediction, DatasetError):
        return ImageResult(name=name, error=str(prediction))
    classes = [ClassProbability(name=each, probability=share) for each, share in prediction]
    labels = list(prediction.labels) if several else None
    return ImageResult(name=name, labels=labels, predictions=classes)
