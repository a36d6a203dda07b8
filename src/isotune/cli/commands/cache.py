"""``isotune cache``: what Isotune keeps for later runs, and removing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isotune.cli.complete import cache_kinds
from isotune.cli.group import need_a_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isotune.storage.caches import File, Kind

cache = typer.Typer(name="cache")


@cache.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """Show or clear what Isotune keeps for later runs."""
    need_a_command(context)


@cache.command("list")
def list_files(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List what Isotune keeps under $ISOTUNE_HOME: kinds, sizes and last use.

    Datasets and weights are listed, too, but only you know which of them you still need.
    """
    import json
    from datetime import datetime

    from isotune.progress.console import output, show, show_table
    from isotune.reports.numbers import NONE, byte_size
    from isotune.reports.tables import Table
    from isotune.storage import home

    kinds = [_summary(*kind) for kind in _kept()]
    if as_json:
        typer.echo(json.dumps({"home": str(home.home()), "kinds": kinds}, indent=2))
        return
    table = Table(
        ["kind", "files", "size", "last used", "content"],
        ["left", "right", "right", "left", "left"],
    )
    for kind in kinds:
        used = kind["last_used"]
        when = NONE if used is None else f"{datetime.fromtimestamp(used):%Y-%m-%d %H:%M}"
        size = byte_size(kind["bytes"])
        table.add(kind["kind"], f"{kind['files']:,}", size, when, kind["content"])
    console = output()
    show(console, str(home.home()), "bold")
    show_table(console, table)


def _summary(name: str, content: str, files: Sequence[File]) -> dict[str, Any]:
    return {
        "kind": name,
        "content": content,
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "last_used": max((file.used for file in files), default=None),
    }


@cache.command()
def clear(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND]...", help="Which kinds to remove.", autocompletion=cache_kinds
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all kinds.")] = False,
) -> None:
    """Remove what Isotune can compute again, by kind: graphs, features, checked, indexes, looks...

    Runs, datasets and weights stay, and so does every file that is none of Isotune's. A run that
    uses a file goes on; files that are being written are left alone.
    """
    from isotune.progress.console import output, show
    from isotune.reports.numbers import byte_size, count
    from isotune.storage.caches import remove

    console = output()
    for kind in _chosen(kinds or [], everything):
        removed = remove(f for f in kind.files() if not f.unfinished or f.abandoned)
        size = byte_size(sum(file.size for file in removed))
        show(console, f"{kind.name}: removed {count(len(removed), 'file')}, {size}")


def _chosen(names: Sequence[str], everything: bool) -> list[Kind]:
    from isotune.errors import SpecError, nearest
    from isotune.storage.caches import KINDS

    known = {kind.name: kind for kind in KINDS}
    listed = ", ".join(known)
    if everything == bool(names):
        raise SpecError(f"name the kinds to remove, or give --all; kinds are: {listed}.")
    for name in names:
        if name in ("datasets", "weights"):
            raise SpecError(
                f"{name} are not removed, since some may be your own; kinds are: {listed}."
            )
        if name not in known:
            raise SpecError(
                f"there is no kind '{name}'.{nearest(name, known)} Kinds are: {listed}."
            )
    return [kind for kind in KINDS if everything or kind.name in names]


def _kept() -> list[tuple[str, str, Sequence[File]]]:
    """Returns name, content and files of each kind, and of datasets and weights."""
    from isotune.storage import home
    from isotune.storage.caches import KINDS, every_file

    return [
        *((kind.name, kind.content, kind.files()) for kind in KINDS),
        ("weights", "weights, downloaded or your own", every_file(home.weights())),
        ("datasets", "datasets, downloaded or your own", every_file(home.datasets())),
    ]
