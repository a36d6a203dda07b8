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
    """Returns the fields with each ``path=value`` set; fields that change lose their reasons.

    Raises:
        SpecError: An override is none.
    """
    before = {line.key: line.value for line in lines}
    after = apply_overrides(Document(before, "spec"), overrides).data
    reasons = {line.key: line.reasons for line in lines if after[line.key] == before[line.key]}
    as_set = ("as it was set by hand",)
    return [Line(key, value, reasons.get(key, as_set)) for key, value in after.items()]


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
