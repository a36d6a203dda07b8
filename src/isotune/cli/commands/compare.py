"""``isotune compare``: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS", help="The folders of runs.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare runs: metrics, curves, differences.

    Runs may be finished or not, and made with different backends.
    """
    import json

    from isotune.errors import SpecError
    from isotune.progress.console import output, show, show_table
    from isotune.reports import comparison_tables as tables
    from isotune.reports.comparison import compare_runs

    if len(runs) < 2:
        raise SpecError("compare needs the folders of two runs or more.")
    comparison = compare_runs(runs)
    if as_json:
        typer.echo(json.dumps(comparison.as_json(), indent=2, allow_nan=False))
        return
    console = output()
    for make in (tables.folders, tables.overview, tables.curves):
        show_table(console, make(comparison))
        if not console.is_terminal:
            show(console)
    show(console, "largest differences (of training losses: relative)", "bold")
    show_table(console, tables.differences(comparison))
