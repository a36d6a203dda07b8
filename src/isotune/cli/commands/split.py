"""``isotune split``: a dataset of splits out of folders of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from isotune.data.splitting.split import SplitReport
    from isotune.reports.tables import Table

SHOWN = 10
"""Images of a kind that are named; others are counted."""

_SIZE = "Images of each class: a count (1000), or a fraction (0.8)."


def split(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDERS", help="A folder for each class, or one that holds these folders."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The dataset, new or empty.")
    ],
    train: Annotated[str | None, typer.Option(metavar="SIZE", help=_SIZE)] = None,
    val: Annotated[str | None, typer.Option(metavar="SIZE", help=_SIZE)] = None,
    test: Annotated[str | None, typer.Option(metavar="SIZE", help=_SIZE)] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**64 - 1, help="Chooses among the possible splits.")
    ] = 0,
    link: Annotated[bool, typer.Option("--link", help="Link images, do not copy them.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be, and write nothing.")
    ] = False,
) -> None:
    """Split folders of images into a dataset.

    Writes DIR/train/CLASS/CLASS_0000.jpg and so on. Every class is divided by itself, and no
    image is in two splits, whatever its files are called.
    """
    from isotune.cli.console import output as standard_output
    from isotune.cli.console import show, show_table
    from isotune.cli.messages import complain
    from isotune.data.splitting.split import split as split_images

    report = split_images(
        folders,
        output,
        train=size("--train", train),
        val=size("--val", val),
        test=size("--test", test),
        seed=seed,
        link=link,
        dry_run=dry_run,
    )
    for line in remarks(report):
        complain(line)
    console = standard_output()
    show_table(console, by_class(report))
    if dry_run:
        show(console, f"nothing was written to {report.folder}")
        return
    show(console, f"written to {report.folder}; in a spec:")
    for line in in_a_spec(report):
        show(console, f"  {line}")


def size(option: str, text: str | None) -> int | float | None:
    """Returns a size as it is meant: without a point it is a count.

    Raises:
        typer.BadParameter: it is no number.
    """
    if text is None:
        return None
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise typer.BadParameter(
            f"'{text}' should be a count such as 1000 or a fraction such as 0.8.",
            param_hint=f"'{option}'",
        ) from None


def by_class(report: SplitReport) -> Table:
    """Returns images by class and split."""
    from isotune.reports.tables import Table

    table = Table(["class", *report.counts, "unused"])
    for name in report.classes:
        table.add(
            name, *(of_class[name] for of_class in report.counts.values()), report.unused[name]
        )
    totals = [sum(of_class.values()) for of_class in report.counts.values()]
    table.add("all", *totals, sum(report.unused.values()))
    return table


def in_a_spec(report: SplitReport) -> list[str]:
    """Returns the lines that name the dataset in a spec."""
    lines = ["dataset:", f"  path: {report.folder}"]
    if "val" not in report.counts and "test" in report.counts:
        lines.append("  splits: {val: test}")
    return lines


def remarks(report: SplitReport) -> list[str]:
    """Returns what a person should know about the images, a line each."""
    lines = [f"left out {image.identity}: {image.reason}" for image in report.broken[:SHOWN]]
    if len(report.broken) > SHOWN:
        lines.append(f"left out {len(report.broken) - SHOWN} more that cannot be read")
    lines += [
        f"left out {number} of class '{name}' with the same bytes as another"
        for name, number in report.duplicates.items()
        if number
    ]
    lines += [
        f"the same image is in several classes: {', '.join(map(str, paths))}"
        for paths in report.shared[:SHOWN]
    ]
    if len(report.shared) > SHOWN:
        lines.append(f"{len(report.shared) - SHOWN} more images are in several classes")
    return lines
