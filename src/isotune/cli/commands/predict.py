"""``isotune predict``: the classes of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from isotune.cli.options import Backend, Checkpoint, Device, RunPath

SOME_UNREADABLE = 1


def predict(
    run: RunPath,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURES", help="Pictures, or folders of pictures.")
    ],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many classes to name.")] = 1,
    backend: Backend = None,
    device: Device = "auto",
    checkpoint: Checkpoint = "best",
) -> None:
    """Predict the classes of pictures.

    Prints a line a picture: its path, its likeliest classes and their probabilities.
    """
    from isotune.cli.console import output, show
    from isotune.runs.opening import open_run

    opened = open_run(run, backend=backend, device=device, checkpoint=checkpoint)
    readable, all_readable = _readable(expand(pictures), opened.classes)
    console = output()
    width = max((len(str(path)) for path in readable), default=0)
    batch = opened.spec.evaluation_batch
    for start in range(0, len(readable), batch):  # lines appear while later pictures wait
        paths = readable[start : start + batch]
        for path, prediction in zip(paths, opened.predict_many(paths, top), strict=True):
            likeliest = "  ".join(f"{name} {share:.4f}" for name, share in prediction)
            show(console, f"{path!s:<{width}}  {likeliest}")
    if not all_readable:
        raise typer.Exit(SOME_UNREADABLE)


def expand(paths: Sequence[Path]) -> list[Path]:
    """Returns the pictures named: a folder stands for all in it, however deep, sorted.

    Raises:
        DatasetError: a folder holds no picture.
    """
    from isotune.data.folder import EXTENSIONS
    from isotune.errors import DatasetError

    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS)
        if not inside:
            raise DatasetError(
                f"{path}: there is no picture in it; names of pictures end in"
                f" {', '.join(EXTENSIONS)}."
            )
        found.extend(inside)
    return found


def _readable(paths: Sequence[Path], classes: tuple[str, ...]) -> tuple[list[Path], bool]:
    """Complains of each picture that cannot be read; returns the others, and if that is all."""
    from isotune.cli.messages import complain
    from isotune.data.checking import find_broken
    from isotune.data.files import FileSource

    there = [path for path in paths if path.is_file()]
    for path in paths:
        if not path.is_file():
            complain(f"{path}: there is no such picture.")
    broken = find_broken(FileSource(there, classes))
    for picture in broken:
        complain(f"{picture.reason}.")
    left_out = {picture.index for picture in broken}
    readable = [path for index, path in enumerate(there) if index not in left_out]
    return readable, len(readable) == len(paths)
