"""Formats numbers, the same everywhere, with a dash for those that are missing."""

from __future__ import annotations

import math

NONE = "-"


def number(value: float | None, digits: int) -> str:
    """Returns `value` with `digits` decimals, or a dash for None and NaN."""
    return NONE if value is None or math.isnan(value) else f"{value:.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """Returns a fraction in [0, 1] as ``91.5%``."""
    text = number(None if share is None else share * 100, digits)
    return text if text == NONE else f"{text}%"


def significant(value: float | None, digits: int = 3) -> str:
    """Returns `value` with `digits` significant digits: ``0.001``, ``2.1e-06``."""
    return NONE if value is None or math.isnan(value) else f"{value:.{digits}g}"


def loss(value: float | None, digits: int = 4) -> str:
    """Returns a loss with `digits` decimals, or as many significant digits from 1e5 on."""
    huge = value is not None and abs(value) >= 1e5
    return significant(value, digits) if huge else number(value, digits)


def duration(seconds: float | None) -> str:
    """Returns ``0.84 s``, ``12.3 s``, ``4 min 05 s`` or ``2 h 03 min``."""
    if seconds is None or math.isnan(seconds):
        return NONE
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(amount: int, one: str, many: str | None = None) -> str:
    """Returns ``1 image``, ``1,026 images``."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def byte_size(amount: int) -> str:
    """Returns ``712 bytes``, ``3.4 MiB``, ``1.2 GiB``."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if amount >= unit:
            return f"{amount / unit:,.1f} {name}"
    return count(amount, "byte")
