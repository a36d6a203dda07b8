"""The command-line application and its commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from isotune.cli.commands.backbones import backbones
from isotune.cli.commands.backends import backends
from isotune.cli.commands.bench import bench
from isotune.cli.commands.cache import cache
from isotune.cli.commands.certify import certify
from isotune.cli.commands.check import check
from isotune.cli.commands.compare import compare
from isotune.cli.commands.convert import convert
from isotune.cli.commands.cross_validate import cross_validate
from isotune.cli.commands.demo import demo
from isotune.cli.commands.evaluate import evaluate
from isotune.cli.commands.export import export
from isotune.cli.commands.find_lr import find_lr
from isotune.cli.commands.fit import fit
from isotune.cli.commands.predict import predict
from isotune.cli.commands.recipes import recipes
from isotune.cli.commands.resume import resume
from isotune.cli.commands.run import run
from isotune.cli.commands.schema import schema
from isotune.cli.commands.serve import serve
from isotune.cli.commands.show import show
from isotune.cli.commands.split import split
from isotune.cli.commands.summary import summary
from isotune.cli.commands.sweep import sweep
from isotune.cli.group import IsotuneGroup, need_a_command
from isotune.cli.launched import take_place

# Frames and colors are for terminals only: a pipe gets plain lines whatever the environment says.
app = typer.Typer(
    name="isotune",
    cls=IsotuneGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    fit,
    run,
    resume,
    cross_validate,
    find_lr,
    sweep,
    summary,
    demo,
    check,
    evaluate,
    predict,
    compare,
    certify,
    convert,
    export,
    serve,
    backends,
    backbones,
    schema,
    recipes,
    split,
):
    app.command()(command)

app.add_typer(show, name="show")
app.add_typer(bench, name="bench")
app.add_typer(cache, name="cache")


def _show_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"isotune {version('isotune')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def isotune(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """One transfer-learning experiment spec, any backend, the same result."""
    take_place(need_a_command(context), context.args)
