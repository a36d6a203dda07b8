"""Settings that differ, of layers and of sides."""

from __future__ import annotations

from isotune.equivalence.causes.arithmetic import number
from isotune.equivalence.causes.evidence import Evidence
from isotune.interfaces.tracer import Setting

MEANINGS = {
    "approximate": "whether GELU is approximated with tanh",
    "count_include_pad": "whether averages at the border count the padding",
    "ceil_mode": "whether a window may begin before the end and reach beyond it",
    "track_running_stats": "whether there are running statistics",
}
"""What a setting decides, where its name does not say it."""


WITHOUT_PRECISION = frozenset({"experiment", "batch", "start", "input", "compilation"})
"""Stages in which a precision has no part."""


def differing_settings(evidence: Evidence) -> str | None:
    """Finds settings of the layer that both sides know and that differ."""
    if evidence.layers is None:
        return None
    names = evidence.layers[0].differing(evidence.layers[1])
    if not names:
        return None
    one, other = (layer.settings for layer in evidence.layers)
    first, second = evidence.labels
    parts = [
        f"{name} is {_shown(one[name])} in {first} and {_shown(other[name])} in {second}"
        f"{_meaning(name, one[name], other[name])}"
        for name in names
    ]
    return f"The layer's settings differ: {'; '.join(parts)}."


def _shown(setting: Setting) -> str:
    return number(setting) if isinstance(setting, float) else str(setting)


def _meaning(name: str, one: Setting, other: Setting) -> str:
    if (
        name == "momentum"
        and isinstance(one, float)
        and isinstance(other, float)
        and abs(one + other - 1) < 1e-6
    ):
        return " (the share of the new statistics in one, of the old ones in the other)"
    return f" ({MEANINGS[name]})" if name in MEANINGS else ""


def differing_precision(evidence: Evidence) -> str | None:
    """Finds that the sides compute in different precisions."""
    one, other = (trace.side.precision for trace in evidence.traces)
    if one == other or evidence.place.stage in WITHOUT_PRECISION:
        return None
    first, second = evidence.labels
    return f"{first} computes in {one}, {second} in {other}."
