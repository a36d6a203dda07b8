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
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

PANELS = {
    "Every day": (fit, run, resume, check, evaluate, predict, compare, export, serve, show),
    "Train": (cross_validate, find_lr, sweep, split),
    "Look": (summary, backbones),
    "Take out": (convert,),
    "Trust": (certify, bench),
    "Set up": (backends, demo, recipes, schema, cache),
}
"""The commands by what a person wants, the ten of every day first."""

for panel, commands in PANELS.items():
    for command in commands:
        if isinstance(command, typer.Typer):
            app.add_typer(command, rich_help_panel=panel)
        else:
            app.command(rich_help_panel=panel)(command)


def _show_version(requested: bool) -> None:
    if requested:
        import platform

        from isotune.cli.installation import installed, of_a_report

        typer.echo(f"isotune {installed('isotune')}")
        typer.echo(f"python {platform.python_version()} on {platform.platform()}")
        for name, number in of_a_report().items():
            typer.echo(f"{name} {number}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def isotune(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show what a bug report needs, and exit.",
        ),
    ] = False,
) -> None:
    """One transfer-learning experiment spec, any backend, the same result."""
    take_place(need_a_command(context), context.args)
