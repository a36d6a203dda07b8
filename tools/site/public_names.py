"""The reference of Python: public names by what they are for, and hooks with their events."""

from __future__ import annotations

import isotune

PARTS = {
    "Train": ("run", "resume", "fit", "propose_spec", "cross_validate", "sweep", "find_lr"),
    "Look": ("open_run", "Run", "show_curves", "show_data", "summary", "check_data"),
    "By hand": ("open_experiment", "continue_experiment", "Experiment", "Step"),
    "Take out": ("export", "open_exported", "convert"),
    "Trust": ("certify",),
    "Set up": ("ExperimentSpec", "load_spec", "json_schema", "split", "find_images", "hookimpl"),
    "Errors": (
        *("IsotuneError", "SpecError", "DatasetError", "WeightsError", "BackendError"),
        *("TrainingError", "RunError", "StoppedError"),
    ),
}
"""Headings, and the names under them. Names that are in none of them come last."""

WITHOUT = {"__version__", "plugins"}
"""Names that need no entry."""

BARE = "    options: {show_root_heading: false, show_root_toc_entry: false}"
EVENTS = ("events", "metrics", "sweep")


def page() -> str:
    """Returns the page of the public names."""
    grouped = {name for names in PARTS.values() for name in names}
    others = [name for name in isotune.__all__ if name not in grouped | WITHOUT]
    parts = PARTS | ({"More": tuple(others)} if others else {})
    lines = [
        "# Python",
        "Everything in the package `isotune` whose name is public. `import isotune` imports no"
        " framework; a name's module is imported when the name is first used."
        " [The guide](../guide.md#python) shows them at work.",
    ]
    for heading, names in parts.items():
        lines.append(f"## {heading}")
        lines += [f"::: isotune.{name}" for name in names if name in isotune.__all__]
    return "\n\n".join(lines)


def hooks_page() -> str:
    """Returns the page of the hooks that observers and plugins implement, and of their events."""
    lines = [
        "# Hooks and events",
        "An observer of a run is an object with methods of these names; a plugin implements them,"
        " too ([how](../contributing.md#an-observer)).",
        "## Hooks",
        f"::: isotune.hookspecs\n{BARE}",
        "## What observers are given",
        *(f"::: isotune.interfaces.{module}\n{BARE}" for module in EVENTS),
    ]
    return "\n\n".join(lines)
