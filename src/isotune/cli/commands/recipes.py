"""``isotune recipes``: lists the experiments that come with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from isotune.cli import complete

if TYPE_CHECKING:
    from isotune.spec.recipes import Recipe


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="The recipe to print.", autocompletion=complete.recipes
        ),
    ] = None,
) -> None:
    """List the recipes, or print one as YAML.

    Shows the source of each recipe, the accuracy it reaches and the command that runs it.
    """
    from isotune.errors import SpecError, nearest
    from isotune.progress.console import output, show
    from isotune.spec import recipes as shipped

    names = shipped.names()
    if name is None:
        show(output(), "\n\n".join(_described(shipped.describe(each)) for each in names))
        return
    if name not in names:
        raise SpecError(
            f"there is no recipe '{name}'.{nearest(name, names)} Recipes are: {', '.join(names)}."
        )
    typer.echo(shipped.text(name), nl=False)


def _described(recipe: Recipe) -> str:
    return "\n".join(
        (
            recipe.name,
            f"  {recipe.description}",
            f"  source   {recipe.source}",
            f"  reaches  {recipe.reaches}",
            f"  command  {recipe.command}",
        )
    )
