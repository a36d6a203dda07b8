"""``isotune recipes``: the experiments that come with the package."""

from __future__ import annotations

from typing import Annotated

import typer


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The recipe to print.")
    ] = None,
) -> None:
    """List the recipes, or print one as YAML."""
    from isotune import recipes as shipped
    from isotune.errors import SpecError, nearest

    names = shipped.names()
    if name is None:
        width = max(map(len, names), default=0)
        for each in names:
            typer.echo(f"{each:<{width}}  {_opening(shipped.text(each))}".rstrip())
        return
    if name not in names:
        raise SpecError(
            f"there is no recipe '{name}'.{nearest(name, names)} Recipes are: {', '.join(names)}."
        )
    typer.echo(shipped.text(name), nl=False)


def _opening(text: str) -> str:
    # A recipe opens with a comment that says what it is.
    first = text.splitlines()[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
