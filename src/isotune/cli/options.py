"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli.complete import backend_names, observers, specs

if TYPE_CHECKING:
    from isotune.experiment.processes import Processes

Backend = Annotated[
    str | None,
    typer.Option(
        "--backend",
        "-b",
        metavar="NAME",
        help="torch, mindspore or another backend.",
        autocompletion=backend_names,
    ),
]
Device = Annotated[
    str, typer.Option("--device", "-d", help="auto, cpu, cuda, cuda:1, ascend:0 and so on.")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")]
Model = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run's folder, or an exported .onnx file.")
]
Checkpoint = Annotated[
    str,
    typer.Option(
        "--checkpoint", "-c", metavar="NAME", help="best, last, or a name such as step-00001560."
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="Several labels: predict each from this probability on, not by the run's thresholds.",
    ),
]
Flip = Annotated[
    bool,
    typer.Option("--flip", help="Average each image's probabilities with its mirror image's."),
]
SpecName = Annotated[
    str,
    typer.Argument(
        metavar="SPEC", help="A YAML file, or the name of a recipe.", autocompletion=specs
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a field: optimizer.lr=0.01"),
]

Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        autocompletion=observers,
        metavar="OBSERVER",
        help="Also log to csv, tensorboard, mlflow or wandb; may be given several times.",
    ),
]

ProcessCount = Annotated[
    str,
    typer.Option(
        "--processes",
        metavar="N",
        help="Processes of this machine that share the work; auto: one for each device.",
    ),
]


def processes_of(text: str) -> Processes:
    """Returns the number of processes that :data:`ProcessCount` asks for.

    Raises:
        typer.BadParameter: It is no number.
    """
    if text == "auto":
        return "auto"
    if text.isascii() and text.isdecimal() and 0 < len(text) < 6 and int(text):
        return int(text)
    raise typer.BadParameter(
        f"is '{text}', but should be a number from 1, or auto.", param_hint="'--processes'"
    )


def observers_of(log: list[str] | None) -> list[object]:
    """Returns the observers that :data:`Log` names: ``csv``, or ``{mlflow: {experiment: bees}}``.

    Raises:
        typer.BadParameter: One begins like a mapping, but is none.
    """
    return [_observer(text) for text in log or ()]


def _observer(text: str) -> object:
    if not text.startswith("{"):
        return text
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise typer.BadParameter(
            f"is '{text}', but should be a name, or a mapping such as"
            " '{mlflow: {experiment: bees}}'.",
            param_hint="'--log'",
        ) from None
