"""``isotune backends``: lists the backends."""

from __future__ import annotations


def backends() -> None:
    """List the backends and their devices.

    For a backend that cannot be used, shows the reason and how to install it.
    """
    from isotune.plugins import plugins
    from isotune.progress.console import output, show, show_table
    from isotune.reports.numbers import NONE
    from isotune.reports.tables import Table

    table = Table(["backend", "usable", "devices", "versions"], ["left"] * 4)
    reports = plugins.reports()
    for report in reports:
        versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
        table.add(
            report.name,
            "no" if report.problem else "yes",
            ", ".join(report.devices) or NONE,
            versions or NONE,
        )
    console = output()
    show_table(console, table)
    for report in reports:
        if report.problem:
            show(console, report.problem)
