"""``isotune backbones``: what can be fine-tuned."""

from __future__ import annotations

from isotune.cli.options import Backend


def backbones(backend: Backend = None) -> None:
    """List the backbones; with --backend, tell which of them that backend has."""
    from isotune.cli.console import output, show_table
    from isotune.plugins import plugins
    from isotune.reports.figures import NONE
    from isotune.reports.tables import Table
    from isotune.weights.catalogue import catalogue

    columns = ["name", "weights", "input", "classifier"]
    opened = plugins.open_backend(backend, "auto") if backend else None
    table = Table(
        [*columns, opened.name] if opened else columns,
        ["left", "left", "right", "left", "left"][: len(columns) + bool(opened)],
    )
    own = set(opened.backbones.names()) if opened else set()
    for entry in sorted(catalogue(plugins.backbones()).values(), key=lambda entry: entry.name):
        weights = ", ".join(entry.weights) or NONE
        row = [entry.name, weights, f"{entry.input_size} px", entry.classifier]
        if opened:
            row.append("yes" if entry.name in own or opened.name in entry.builders else "no")
        table.add(*row)
    show_table(output(), table)
