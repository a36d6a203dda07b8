"""Writes a spec in YAML, with the reason for each field as a comment."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from isotune.fitting.choose import Line
from isotune.printable import printable
from isotune.spec.document import Document
from isotune.spec.overrides import apply_overrides

WIDTH = 96


class _Dumper(yaml.SafeDumper):
    """Writes values that occur twice twice, not as anchors and aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Returns True."""
        return True


def spec_text(opening: Sequence[str], lines: Iterable[Line]) -> str:
    """Returns the YAML of a spec.

    Args:
        opening: Paragraphs of the comment at its start.
        lines: Its fields.
    """
    parts = [_comment(paragraph) for paragraph in opening]
    for line in lines:
        parts += [_comment(reason) for reason in line.reasons]
        parts.append(f"{line.key}: {_value(line.value)}")
    return "\n".join(parts) + "\n"


def overridden(lines: Sequence[Line], overrides: Iterable[str]) -> list[Line]:
    """Returns the fields with each ``path=value`` set; those that are set lose their reasons.

    Raises:
        SpecError: An override is none.
    """
    known, given = {line.key: line for line in lines}, tuple(overrides)
    before = Document({line.key: line.value for line in lines}, "spec")
    after = apply_overrides(before, given).data
    by_hand = {override.partition("=")[0].strip().partition(".")[0] for override in given}
    return [
        Line(key, value, ("as it was set by hand",)) if key in by_hand else known[key]
        for key, value in after.items()
    ]


def _comment(text: str) -> str:
    return textwrap.fill(
        printable(text),
        WIDTH,
        initial_indent="# ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _value(value: Any) -> str:
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=math.inf
    )
    return text.removesuffix("\n").removesuffix("\n...")
