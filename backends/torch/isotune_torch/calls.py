"""How a model calls its modules: which tensors they get, in what structure, and as what type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def tensors(value: Any) -> Iterator[Tensor]:
    """Yields the floating-point tensors of nested tuples, lists and mappings, in their order."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from tensors(each)
    elif isinstance(value, Mapping):
        yield from tensors(tuple(value.values()))


def distinct(value: Any) -> list[Tensor]:
    """Returns the tensors of a call's arguments, each once, as attention gets one three times."""
    return list({id(tensor): tensor for tensor in tensors(value)}.values())


@dataclass(frozen=True)
class _Place:
    """Where a call has an input.

    Attributes:
        number: The input's number among the distinct ones.
        dtype: Its type.
        format: Its memory format.
    """

    number: int
    dtype: torch.dtype
    format: torch.memory_format


class Call:
    """The arguments of a module's call, without the numbers in their tensors.

    Args:
        arguments: Positional arguments.
        named: Keyword arguments.
    """

    def __init__(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        numbers = {id(tensor): n for n, tensor in enumerate(distinct((arguments, named)))}
        self._inputs = len(numbers)
        self._arguments, self._named = _replaced(
            (arguments, dict(named)),
            lambda each: _Place(numbers[id(each)], each.dtype, _format(each)),
        )

    def again(self, inputs: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns arguments with other inputs, of the types and memory formats that they had.

        Another number of inputs is taken for one argument each. All are new tensors, which a module
        may change.
        """
        if len(inputs) != self._inputs:
            return tuple(each.clone() for each in inputs), {}
        new: dict[int, Tensor] = {}

        def fill(place: _Place) -> Tensor:
            if place.number not in new:
                given = inputs[place.number]
                kept = place.format if given.dim() == 4 else torch.contiguous_format
                new[place.number] = given.clone(memory_format=kept).to(place.dtype)
            return new[place.number]

        return _replaced((self._arguments, self._named), fill)


def _replaced(value: Any, new: Callable[[Any], Any]) -> Any:
    """Returns nested arguments with something else for each floating-point tensor or place."""
    if isinstance(value, _Place) or (isinstance(value, Tensor) and value.is_floating_point()):
        return new(value)
    if isinstance(value, tuple):
        members = [_replaced(each, new) for each in value]
        return type(value)(*members) if hasattr(value, "_fields") else tuple(members)
    if isinstance(value, list):
        return [_replaced(each, new) for each in value]
    if isinstance(value, Mapping):
        return {name: _replaced(each, new) for name, each in value.items()}
    return value


def _format(tensor: Tensor) -> torch.memory_format:
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
