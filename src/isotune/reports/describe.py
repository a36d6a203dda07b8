"""Short descriptions of a spec's head, freezing and mixing."""

from __future__ import annotations

from isotune.models.head import hidden_widths
from isotune.spec.freeze import FreezeSpec
from isotune.spec.head import HeadSpec
from isotune.spec.mixing import MixingSpec


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


def described_mixing(spec: MixingSpec) -> str:
    """Returns ``mixup 0.2, cutmix 1, switch 0.5`` for example."""
    several = spec.mixup is not None and spec.cutmix is not None
    shown = {name: value for name, value in spec if value is not None}
    if not several:
        del shown["switch"]
    if spec.probability == 1:
        del shown["probability"]
    return ", ".join(f"{name} {value:g}" for name, value in shown.items())


def counted_as_true(multi_label: bool) -> str:
    """Returns what training accuracy counts as the true class of a mixed image, as a phrase."""
    return "labels above one half" if multi_label else "the class with the largest share"


def _patterns(patterns: str | list[str]) -> str:
    return patterns if isinstance(patterns, str) else ", ".join(patterns)
