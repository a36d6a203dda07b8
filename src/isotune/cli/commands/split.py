"""``isotune split``: creates a dataset with splits from folders of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from isotune.data.splitting.split import SplitReport
    from isotune.reports.tables import Table

SHOWN = 10
"""Number of images of a kind that are listed; the others are counted."""

_SIZE = "Images per class: a count (1000) or a fraction (0.8)."


def split(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDERS", help="A folder for each class, or one that contains these folders."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The dataset, new or empty.")
    ],
    train: Annotated[str | None, typer.Option(metavar="SIZE", help=_SIZE)] = None,
    val: Annotated[str | None, typer.Option(metavar="SIZE", help=_SIZE)] = None,
    test: Annotated[str | None, typer.Option(metavar="SIZE", help=_SIZE)] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Seed of the random split.")] = 0,
    link: Annotated[bool, typer.Option("--link", help="Link images instead of copying.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the result and write nothing.")
    ] = False,
) -> None:
    """Split folders of images into a dataset.

    Writes DIR/train/CLASS/CLASS_0000.jpg and so on. The splits are stratified by class, and no
    image is in two splits, whatever the names of its files.
    """
    from isotune.cli.messages import complain
    from isotune.data.splitting.split import split as split_images
    from isotune.progress.console import output as standard_output
    from isotune.progress.console import show, show_table

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
    show_table(console, split_table(report))
    if dry_run:
        show(console, f"nothing was written to {report.folder}")
        return
    show(console, f"written to {report.folder}; in a spec:")
    for line in spec_lines(report):
        show(console, f"  {line}")


def size(option: str, text: str | None) -> int | float | None:
    """Parses a size: a count without a decimal point, else a fraction.

    Raises:
        typer.BadParameter: the text is not a number.
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


def split_table(report: SplitReport) -> Table:
    """Returns the numbers of images by class and split."""
    from isotune.reports.tables import Table

    table = Table(["class", *report.counts, "unused"])
    for name in report.classes:
        table.add(
            name, *(by_class[name] for by_class in report.counts.values()), report.unused[name]
        )
    totals = [sum(by_class.values()) for by_class in report.counts.values()]
    table.add("all", *totals, sum(report.unused.values()))
    return table


def spec_lines(report: SplitReport) -> list[str]:
    """Returns the lines of a spec that use the dataset."""
    lines = ["dataset:", f"  path: {report.folder}"]
    if "val" not in report.counts and "test" in report.counts:
        lines.append("  splits: {val: test}")
    return lines


def remarks(report: SplitReport) -> list[str]:
    """Returns lines about omitted images and images of several classes."""
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
