"""``isotune schema``: what a spec may say."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference of all fields instead.")
    ] = False,
) -> None:
    """Print the JSON Schema of a spec."""
    import json

    if markdown:
        from isotune.spec.reference import reference

        typer.echo(reference(), nl=False)
    else:
        from isotune.spec.load import json_schema

        typer.echo(json.dumps(json_schema(), indent=2))
