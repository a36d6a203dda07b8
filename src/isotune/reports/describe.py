"""Short descriptions of a spec's head and freezing."""

from __future__ import annotations

from isotune.models.head import hidden_widths
from isotune.spec.freeze import FreezeSpec
from isotune.spec.head import HeadSpec


def described_head(spec: HeadSpec) -> str:
    """Returns ``linear`` or ``mlp 256`` for example, plus ``, one output`` for a single output."""
    text = " ".join((spec.name, *map(str, hidden_widths(spec))))
    return f"{text}, one output" if spec.outputs == "single" else text


def described_freeze(spec: FreezeSpec) -> str:
    """Returns ``none`` or ``backbone; from epoch 3 trains: all`` for example."""
    parts = [_patterns(spec.parameters)]
    if spec.parameters != "none" and spec.batch_norm == "train":
        parts.append("batch norm goes on")
    for epoch, released in sorted(spec.unfreeze.items()):
        parts.append(f"from epoch {epoch} trains: {_patterns(released)}")
    return "; ".join(parts)


def _patterns(patterns: str | list[str]) -> str:
    return patterns if isinstance(patterns, str) else ", ".join(patterns)
