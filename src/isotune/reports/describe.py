"""Parts of a spec in a few words."""

from __future__ import annotations

from isotune.models.head import hidden_widths
from isotune.spec.head import HeadSpec
from isotune.spec.parts import FreezeSpec


def described_head(spec: HeadSpec) -> str:
    """Returns ``linear`` or ``mlp 256``, with ``, one output`` if there is a single one."""
    words = " ".join((spec.name, *map(str, hidden_widths(spec))))
    return f"{words}, one output" if spec.outputs == "single" else words


def described_freeze(spec: FreezeSpec) -> str:
    """Returns what does not train: ``none``, ``backbone; from epoch 3 trains: all``."""
    parts = [_patterns(spec.parameters)]
    if spec.parameters != "none" and spec.batch_norm == "train":
        parts.append("batch norm goes on")
    for epoch, released in sorted(spec.unfreeze.items()):
        parts.append(f"from epoch {epoch} trains: {_patterns(released)}")
    return "; ".join(parts)


def _patterns(patterns: str | list[str]) -> str:
    return patterns if isinstance(patterns, str) else ", ".join(patterns)
