"""``isotune backends``: what is installed, and why something does not work here."""

from __future__ import annotations

from typing import Annotated

import typer


def backends(
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Show backends and devices, the machine, and what is wrong with it.

    For what cannot be used, shows the reason and how to mend it. Exit code 1 if no backend can be
    used.
    """
    import json

    from isotune.cli.installation import examine, facts
    from isotune.plugins import plugins
    from isotune.progress.console import output, show, show_table
    from isotune.reports.numbers import NONE
    from isotune.reports.tables import Table

    found = examine(plugins)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
        raise typer.Exit(0 if found.usable else 1)
    table = Table(["backend", "usable", "devices", "versions"], ["left"] * 4)
    for report in found.backends:
        versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
        table.add(
            report.name,
            "no" if report.problem else "yes",
            ", ".join(report.devices) or NONE,
            versions or NONE,
        )
    console = output()
    show_table(console, table)
    if not console.is_terminal:
        show(console)
    for name, value in facts(found):
        show(console, f"{name:<15}{value}")
    problems = [report.problem for report in found.backends if report.problem]
    for problem in (*problems, *found.problems):
        show(console)
        show(console, problem, "bold")
    raise typer.Exit(0 if found.usable else 1)
