"""What varies in a sweep: parameters, their values, and the specs that these make."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Union

from isotune.errors import SpecError
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import SpecDraft

Value = Union[int, float, str]
"""A value of a parameter: a number, or the label of a choice."""


@dataclass(frozen=True)
class Range:
    """Numbers between two ends.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Whether equal quotients, not equal differences, are equally likely.
        step: Distance between neighboring values; None for any value.
        whole: Whether values are whole numbers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def rounded(self, value: float) -> int | float:
        """Returns the value of the range that is nearest to `value`, without binary fractions.

        Steps of 0.1 give 0.3, not 0.30000000000000004.
        """
        if self.whole:
            return round(value)
        if self.step is None:
            return float(value)
        low, step = Decimal(str(self.low)), Decimal(str(self.step))
        return float(low + step * round((Decimal(str(value)) - low) / step))

    @property
    def size(self) -> int | None:
        """Number of values; None if there are infinitely many."""
        step = self.step or (1 if self.whole else None)
        if step is None:
            return None
        return int((Decimal(str(self.high)) - Decimal(str(self.low))) / Decimal(str(step))) + 1

    def holds(self, value: Value) -> bool:
        """Whether a value lies between the ends."""
        return not isinstance(value, str) and self.low <= value <= self.high

    def ends(self) -> tuple[Value, ...]:
        """Returns both ends."""
        return self.rounded(self.low), self.rounded(self.high)


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Attributes:
        label: Names it.
        value: Plain data.
        inner: What varies inside of it.
    """

    label: str
    value: Any
    inner: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class Choices:
    """Several values."""

    choices: tuple[Choice, ...]

    def find(self, label: object) -> Choice:
        """Returns the choice of that label, which there is."""
        return next(choice for choice in self.choices if choice.label == label)

    @property
    def size(self) -> int | None:
        """Number of different settings, those inside of choices included, or None."""
        sizes = [_product(choice.inner) for choice in self.choices]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def holds(self, value: Value) -> bool:
        """Whether a value is the label of a choice."""
        return any(choice.label == value for choice in self.choices)

    def ends(self) -> tuple[Value, ...]:
        """Returns the labels of all choices."""
        return tuple(choice.label for choice in self.choices)


@dataclass(frozen=True)
class Parameter:
    """A field that varies.

    Attributes:
        name: Its name, unique in the space: that of the field and, inside of a choice, the
            choice's label in brackets: ``optimizer.lr[sgd]``.
        field: Name of the field: ``optimizer.lr``.
        domain: Its values.
        where: File and line, for messages.
    """

    name: str
    field: str
    domain: Range | Choices
    where: str


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        parameters: What varies, in order.
        source: Name of the file, for messages.
        data: The file's content as plain data.
    """

    parameters: tuple[Parameter, ...]
    source: str
    data: dict[str, Any] = field(repr=False)

    @property
    def size(self) -> int | None:
        """Number of different settings; None if there are infinitely many."""
        return _product(self.parameters)

    def pick(self, pick: Callable[[Parameter], Value]) -> dict[str, Value]:
        """Returns a value of each parameter that counts, by its name.

        Args:
            pick: Called once for each of them, in order: which ones follow depends on choices.
        """
        picked: dict[str, Value] = {}
        waiting = list(self.parameters)
        while waiting:
            parameter = waiting.pop(0)
            picked[parameter.name] = value = pick(parameter)
            if isinstance(parameter.domain, Choices):
                waiting[:0] = parameter.domain.find(value).inner
        return picked

    def spec(self, draft: SpecDraft, picked: Mapping[str, Value]) -> ExperimentSpec:
        """Returns the spec with a value in each of the fields that vary.

        Args:
            draft: The spec that varies.
            picked: Values by the names of parameters; the others take their first.

        Raises:
            SpecError: It is not valid; each line names the file and the field.
        """

        def assign(parameter: Parameter) -> Value:
            nonlocal draft
            domain = parameter.domain
            value = picked.get(parameter.name, domain.ends()[0])
            data = domain.find(value).value if isinstance(domain, Choices) else value
            draft = draft.with_value(parameter.field, data, parameter.where)
            return value

        settings = self.pick(assign)
        try:
            return draft.spec()
        except SpecError as error:
            if len(settings) == 1:
                raise
            listed = ", ".join(f"{name} = {value}" for name, value in settings.items())
            raise SpecError(*error.args, f"{self.source}: the setting is {listed}.") from error


def walk(
    parameters: Sequence[Parameter], chosen: Mapping[str, Value] | None = None
) -> Iterator[tuple[Parameter, dict[str, Value]]]:
    """Yields each parameter with the choices that it is inside of, by the names of theirs."""
    for parameter in parameters:
        yield parameter, dict(chosen or {})
        if isinstance(parameter.domain, Choices):
            for choice in parameter.domain.choices:
                yield from walk(choice.inner, {**(chosen or {}), parameter.name: choice.label})


def _product(parameters: Sequence[Parameter]) -> int | None:
    sizes = [parameter.domain.size for parameter in parameters]
    return None if None in sizes else math.prod(size or 0 for size in sizes)
