"""``isotune serve``: answers requests with a trained model."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.options import Backend, Checkpoint, Device, Model

if TYPE_CHECKING:
    from isotune.experiment.classifier import Classifier
    from isotune.serving.limits import Limits

LIMITS = "Limits"


def serve(
    model: Model,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File of the token that clients have to send; by default ISOTUNE_TOKEN.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name by which clients reach it."),
    ] = None,
    max_request: Annotated[
        int,
        typer.Option(
            min=1, metavar="MIB", help="Largest size of a request.", rich_help_panel=LIMITS
        ),
    ] = 64,
    max_file: Annotated[
        int,
        typer.Option(min=1, metavar="MIB", help="Largest size of a file.", rich_help_panel=LIMITS),
    ] = 16,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Most pixels of an image.", rich_help_panel=LIMITS)
    ] = 64_000_000,
    max_images: Annotated[
        int, typer.Option(min=1, help="Most images of a request.", rich_help_panel=LIMITS)
    ] = 32,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Most requests at the same time.", rich_help_panel=LIMITS)
    ] = 64,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="Whether there is a page for people at /.")
    ] = True,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
) -> None:
    """Serve a trained model: a page for people, and POST /predict for programs.

    Ctrl-C ends it, after the requests that it has taken.
    """
    from isotune.exporting.open import open_classifier
    from isotune.serving.server import bind, check_packages
    from isotune.serving.token import read_token

    check_packages(page)
    from isotune.serving.limits import MIB, Limits

    limits = Limits(
        request_bytes=max_request * MIB,
        file_bytes=max_file * MIB,
        pixels=max_pixels,
        images=max_images,
        waiting=max_waiting,
    )
    token = read_token(token_file)
    with bind(host, port) as listener:
        opened = open_classifier(model, backend=backend, device=device, checkpoint=checkpoint)
        _serve(opened, listener, limits, token, [host, *(allow_host or ())], page)


def _serve(
    classifier: Classifier,
    listener: socket.socket,
    limits: Limits,
    token: str | None,
    hosts: list[str],
    page: bool,
) -> None:
    from isotune.cli.messages import complain
    from isotune.progress.console import output, show
    from isotune.serving.app import create_app
    from isotune.serving.server import is_local, serve, url
    from isotune.serving.service import Service

    if token is None and not is_local(listener):
        complain(
            "anybody who reaches this machine may use the service; --token-file limits it to those"
            " who have a token."
        )
    service = Service(classifier, limits.pixels)
    try:
        service.warm_up()
        names = [*hosts, socket.gethostname()]
        app = create_app(service, limits, hosts=names, token=token, page=page)
        name, engine = classifier.spec.name, classifier.engine
        line = f"{url(listener)} serves {name} ({engine}); /docs describes it, Ctrl-C ends it."
        serve(app, listener, limits, lambda: show(output(), line))
    finally:
        service.close()
