"""``isotune schema``: the JSON Schema of a spec."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of a spec."""
    import json

    import typer

    from isotune.spec.load import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
