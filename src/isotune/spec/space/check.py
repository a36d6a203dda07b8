"""Checks that the values of a search space make valid specs, before the first trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from isotune.errors import SpecError
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import SpecDraft
from isotune.spec.space.parameters import Choices, Parameter, Range, Space, Value, walk
from isotune.spec.space.read import SpaceSource, read_space

MOST_COMBINATIONS = 256
"""Number of combinations of ends and choices that are checked before the first trial."""

INSIDE = 0.3819660112501051
"""Where between two whole numbers a field is asked whether it takes others: at no simple part."""


def open_space(source: SpaceSource, draft: SpecDraft) -> tuple[Space, list[ExperimentSpec]]:
    """Reads a search space, and checks that all its ends and choices make valid specs.

    Each of them is checked alone, the others being at their first value, and their combinations
    as far as :data:`MOST_COMBINATIONS` go.

    Args:
        source: Path of a YAML file, or a mapping.
        draft: The spec that it varies.

    Returns:
        The space, and the specs that were checked, that of all first values first.

    Raises:
        SpecError: It is not a space, or makes an invalid spec; each line names file and field.
    """
    space = read_space(source)
    checked = [space.spec(draft, {})]
    fractional = set()
    for parameter, chosen in walk(space.parameters):
        for end in parameter.domain.ends():
            checked.append(space.spec(draft, {**chosen, parameter.name: end}))
        if _takes_fractions(space, draft, parameter, chosen):
            fractional.add(parameter.name)
    space = replace(space, parameters=_with_fractions(space.parameters, fractional))
    for picked in islice(_combinations(space.parameters), MOST_COMBINATIONS):
        checked.append(space.spec(draft, picked))
    monitors = {spec.checkpoint.monitor for spec in checked}
    if len(monitors) > 1:
        raise SpecError(
            f"{space.source}: checkpoint.monitor varies between {' and '.join(sorted(monitors))},"
            " but trials are compared by it; leave it out."
        )
    return space, checked


def _takes_fractions(
    space: Space, draft: SpecDraft, parameter: Parameter, chosen: dict[str, Value]
) -> bool:
    """Whether the ends are whole numbers, but the field takes others between them, too."""
    domain = parameter.domain
    if not isinstance(domain, Range) or not domain.whole or domain.step is not None:
        return False
    between = domain.low + (domain.high - domain.low) * INSIDE
    try:
        space.spec(draft, {**chosen, parameter.name: between})
    except SpecError:
        return False
    return True


def _with_fractions(parameters: Sequence[Parameter], names: set[str]) -> tuple[Parameter, ...]:
    """Returns parameters of which those of these names have values that are not whole."""
    return tuple(replace(each, domain=_domain_with_fractions(each, names)) for each in parameters)


def _domain_with_fractions(parameter: Parameter, names: set[str]) -> Range | Choices:
    domain = parameter.domain
    if isinstance(domain, Range):
        return replace(domain, whole=domain.whole and parameter.name not in names)
    return Choices(
        tuple(
            replace(choice, inner=_with_fractions(choice.inner, names)) for choice in domain.choices
        )
    )


def _combinations(parameters: Sequence[Parameter]) -> Iterator[dict[str, Value]]:
    """Yields every combination of ends and choices."""
    if not parameters:
        yield {}
        return
    first, *others = parameters
    for end in first.domain.ends():
        inner = first.domain.find(end).inner if isinstance(first.domain, Choices) else ()
        for picked in _combinations([*inner, *others]):
            yield {first.name: end, **picked}
