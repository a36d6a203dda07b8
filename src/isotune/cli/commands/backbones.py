"""``isotune backbones``: what can be fine-tuned."""

from __future__ import annotations

from isotune.cli.options import Backend


def backbones(backend: Backend = None) -> None:
    """List the backbones and their weights.

    With --backend it tells which of them that backend has.
    """
    from isotune.cli.console import output, show_table
    from isotune.plugins import plugins
    from isotune.reports.figures import NONE
    from isotune.reports.tables import Table
    from isotune.weights.catalogue import catalogue

    opened = plugins.open_backend(backend, "auto") if backend else None
    table = Table(
        ["name", "weights", "input", "classifier", *([opened.name] if opened else [])],
        ["left", "left", "right", "left", *(["left"] if opened else [])],
    )
    own = set(opened.backbones.names()) if opened else set()
    for entry in sorted(catalogue(plugins.backbones()).values(), key=lambda entry: entry.name):
        weights = ", ".join(entry.weights) or NONE
        row = [entry.name, weights, f"{entry.input_size} px", entry.classifier]
        if opened:
            row.append("yes" if entry.name in own or opened.name in entry.builders else "no")
        table.add(*row)
    show_table(output(), table)
