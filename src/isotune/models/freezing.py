"""Resolves a spec's patterns to the parameters that are frozen in an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

from isotune.errors import SpecError, nearest
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.names import is_parameter, is_under
from isotune.spec.freeze import FreezeSpec


def freeze_plan(
    spec: FreezeSpec,
    head: str,
    state_names: Iterable[str],
    epoch: int,
    stages: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> FreezePlan:
    """Returns the freeze plan of an epoch.

    Args:
        spec: The spec's ``freeze``.
        head: Canonical path of the head.
        state_names: Canonical names of the model's tensors.
        epoch: The epoch, counted from 1.
        stages: Canonical paths by the name of a stage; patterns may name stages.

    Raises:
        SpecError: A pattern matches no parameter, or nothing is left to train.
    """
    names = [name for name in state_names if is_parameter(name)]
    frozen = _frozen_at_start(spec, head, names, stages)
    for start, released in sorted(spec.unfreeze.items()):
        if released == "all":
            matched = set(names)
        else:
            matched = _matching(released, names, f"freeze.unfreeze.{start}", stages)
        if epoch >= start:
            frozen -= matched
    if len(frozen) == len(names):
        raise SpecError("freeze.parameters: freezes every parameter; nothing is left to train.")
    return FreezePlan(frozenset(frozen), spec.batch_norm)


def _frozen_at_start(
    spec: FreezeSpec, head: str, names: Sequence[str], stages: Mapping[str, Sequence[str]]
) -> set[str]:
    if spec.parameters == "none":
        return set()
    if spec.parameters == "backbone":
        return {name for name in names if not is_under(head, name)}
    return _matching(spec.parameters, names, "freeze.parameters", stages)


def _matching(
    patterns: Sequence[str], names: Sequence[str], field: str, stages: Mapping[str, Sequence[str]]
) -> set[str]:
    matched: set[str] = set()
    for pattern in patterns:
        paths = stages.get(pattern, (pattern,))
        hits = {n for n in names for p in paths if fnmatchcase(n, p) or is_under(p, n)}
        if not hits:
            parts = {n.rsplit(".", depth)[0] for n in names for depth in range(n.count(".") + 1)}
            named = f" Stages are: {', '.join(stages)}." if stages else ""
            raise SpecError(
                f"{field}: '{pattern}' matches no parameter.{nearest(pattern, parts | {*stages})}"
                f" Parameters are named like {names[0]} and {names[-1]}.{named}"
            )
        matched |= hits
    return matched
