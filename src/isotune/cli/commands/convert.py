"""``isotune convert``: weights of one framework for another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="A .pth, .safetensors or .ckpt file, or the folder of a run."
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .safetensors, .pth or .ckpt file to write.")
    ],
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="NAME", help="Whose weights they are, if unclear."),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", "-c", metavar="NAME", help="Which one of a run.")
    ] = "best",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
) -> None:
    """Convert weights between frameworks, or export a run's.

    IN may have the names of torchvision, timm, MindCV, MindVision or MindSpore's model zoo. OUT
    gets torchvision's names, or MindSpore's if it is a .ckpt. No framework is needed.
    """
    from isotune.cli.console import output, show
    from isotune.experiment.convert import convert as convert_file

    done = convert_file(source, target, backbone=backbone, checkpoint=checkpoint, overwrite=force)
    console = output()
    names = ", ".join(done.dialects) or "none, canonical names"
    show(console, f"read     {source}: {done.backbone}; dialect: {names}")
    for note in done.notes:
        show(console, f"         {note}")
    head = ", ".join(f"{name} {tuple(shape)}" for name, shape in done.head.items())
    show(console, f"written  {done.target}: {done.tensors} tensors; head: {head or 'none'}")
