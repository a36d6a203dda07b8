"""``isotune convert``: converts weights between frameworks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isotune.cli.complete import backbone_names


def convert(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="A .pth, .safetensors or .ckpt file, or a run's folder."),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .safetensors, .pth or .ckpt file to write.")
    ],
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            metavar="NAME",
            help="Backbone of the weights, if unclear.",
            autocompletion=backbone_names,
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--prefix", metavar="PREFIX", help="Names to take, if IN holds several models."
        ),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", "-c", metavar="NAME", help="The run's checkpoint.")
    ] = "best",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
) -> None:
    """Convert weights between frameworks, or export a run's.

    IN may use the names of torchvision, timm, MindCV, MindVision or MindSpore's model zoo. OUT
    gets torchvision's names, or MindSpore's if it is a .ckpt file. No framework is needed.
    """
    from isotune.experiment.convert import convert as convert_file
    from isotune.progress.console import output, show

    result = convert_file(
        source, target, backbone=backbone, prefix=prefix, checkpoint=checkpoint, overwrite=force
    )
    console = output()
    names = ", ".join(result.dialects) or "none, canonical names"
    show(console, f"read     {source}: {result.backbone}; dialect: {names}")
    for note in result.notes:
        show(console, f"         {note}")
    head = ", ".join(f"{name} {tuple(shape)}" for name, shape in result.head.items())
    show(console, f"written  {result.target}: {result.tensors} tensors; head: {head or 'none'}")
