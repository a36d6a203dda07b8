"""What a block does between its parts: residuals."""

from __future__ import annotations

import numpy as np

from isotune.equivalence.causes.arithmetic import TIGHT, number
from isotune.equivalence.causes.evidence import Array, Evidence
from isotune.equivalence.traces.trace import key


def other_residual(evidence: Evidence) -> str | None:
    """Finds that outputs differ by a multiple of what the block was given, or of its last part."""
    pair, inputs = evidence.found(), evidence.inputs()
    if evidence.outputs() is None or pair is None or evidence.layers is None:
        return None
    if any(layer.leaf for layer in evidence.layers):
        return None
    # An activation after the sum hides what is negative.
    some = pair.part((pair.one > 0) & (pair.other > 0))
    if len(some.positions) < 16:
        return None
    parts = {f"input {number + 1}" if number else "input": x for number, x in enumerate(inputs)}
    parts |= _branches(evidence)
    gap = some.other - some.one
    for name, array in parts.items():
        if array.shape != pair.shape:
            continue
        part = array.reshape(-1)[some.positions].astype(np.float64)
        square = float(part @ part)
        factor = float(part @ gap) / square if square else 0.0
        if factor and np.linalg.norm(gap - factor * part) <= 10 * TIGHT * np.linalg.norm(gap):
            return _sentence(evidence, name, factor)
    return None


def _sentence(evidence: Evidence, name: str, factor: float) -> str:
    first, second = evidence.labels
    if abs(factor + 1) < 1e-3:
        return f"{second} fits a block whose {name} is not added, unlike in {first}."
    if abs(factor - 1) < 1e-3:
        return f"{first} fits a block whose {name} is not added, unlike in {second}."
    more, sign = number(abs(factor)), "more" if factor > 0 else "less"
    return f"{second} adds {more} times the block's {name} {sign} than {first}."


def _branches(evidence: Evidence) -> dict[str, Array]:
    prefix = f"forward/{evidence.place.path}." if evidence.place.path else "forward/"
    names = [name for name in evidence.whole if name.startswith(prefix)]
    return {
        f"part '{name.removeprefix('forward/')}'": evidence.whole[name]
        for name in names[::-1]
        if name != key("forward", evidence.call)
    }
