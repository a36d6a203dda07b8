"""Chooses the tensors of one model among those of a file.

Training scripts save more than the model: Lightning puts the loss function and metrics beside it,
others an averaged copy, a teacher or a second encoder. The model is found by what fits the
backbone, not by a list of names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.names import NO_STATE
from isotune.weights.dialects.canonical import Canonical, to_canonical
from isotune.weights.dialects.not_weights import is_beside
from isotune.weights.formats.files import LISTED, printable
from isotune.weights.match import fits

Shapes = Mapping[str, tuple[int, ...]]
Arrays = Mapping[str, NDArray[Any]]

COPY = re.compile(
    r"(\w*_)?(ema|teacher|momentum|averaged|swa)(_\w*)?|target_\w+"
    r"|(encoder|backbone|model|net)_k"
)
"""Parts of names under which averaged copies of a model are stored: those of exponential moving
averages, of DINO's teacher, BYOL's target network and MoCo's key encoder."""

MAX_PARTS = 8
MAX_CANDIDATES = 64
"""Bounds of the prefixes that are tried: number of parts, and of prefixes."""


class AmbiguousWeights(WeightsError):
    """A file holds several models that fit."""


class Models:
    """The models that may be in a file.

    Args:
        state: arrays by name, as read.
        source: the file's name, for messages.
        prefix: beginning of the names of the wanted model, with the dot; None finds it.
    """

    def __init__(self, state: Arrays, source: str, prefix: str | None = None) -> None:
        self._source = source
        self._state = state if prefix is None else _under(prefix, state)
        self._outside = [name for name in state if prefix and not name.startswith(prefix)]
        self._counts = _count_by_prefix(self._state)
        self._beside = [name for name in self._state if _is_beside(name, self._state)]

    def choose(self, entry: BackboneEntry, expected: Shapes) -> Canonical:
        """Returns the tensors of the model that fits a backbone, or of what is closest to it.

        Args:
            entry: the backbone.
            expected: the backbone's shapes by canonical name; empty if they are not known.

        Raises:
            AmbiguousWeights: several models fit; the message lists their prefixes.
            WeightsError: two names refer to the same parameter.
        """
        if not expected:
            canonical = to_canonical(self._state, entry, self._source, expected)
            return replace(canonical, dropped=(*canonical.dropped, *self._outside))
        return (
            self.whole(entry, expected)
            or self.part(entry, expected)
            or self._closest(entry, expected)
        )

    def whole(self, entry: BackboneEntry, expected: Shapes) -> Canonical | None:
        """Returns the tensors of the file, without known others, if they fit a backbone."""
        whole = self._attempt("", entry, expected)
        return whole if _fits(whole, entry, expected) else None

    def part(self, entry: BackboneEntry, expected: Shapes) -> Canonical | None:
        """Returns the tensors under the prefix under which they fit a backbone, if there is one.

        Averaged copies are taken only if nothing else fits.

        Raises:
            AmbiguousWeights: several models fit; the message lists their prefixes.
        """
        found: dict[str, Canonical] = {}
        for prefix in self._prefixes(expected):
            if not prefix.startswith(tuple(found)):
                part = self._attempt(prefix, entry, expected)
                if _fits(part, entry, expected):
                    found[prefix] = part
        return self._only_one(found, entry) if found else None

    def _closest(self, entry: BackboneEntry, expected: Shapes) -> Canonical:
        """Returns what shares the most names with a backbone, so that the rest can be listed."""
        prefixes = ("", *self._prefixes(expected))
        attempts = [self._attempt(prefix, entry, expected) for prefix in prefixes]
        readable = [each for each in attempts if isinstance(each, Canonical)]
        # The first of equals is the whole file, or the shortest prefix.
        shared = [len(each.tensors.keys() & expected.keys()) for each in readable]
        if isinstance(attempts[0], WeightsError) and not any(shared):
            raise attempts[0]
        return readable[shared.index(max(shared))]

    def _attempt(
        self, prefix: str, entry: BackboneEntry, expected: Shapes
    ) -> Canonical | WeightsError:
        """Returns the tensors under a prefix, all others as dropped, or why they have no names."""
        if prefix:
            beside = [name for name in self._state if not name.startswith(prefix)]
        else:
            beside = [name for name in self._beside if name not in expected]
        if len(beside) == len(self._state):
            beside = []
        skipped = frozenset(beside)
        state = {n[len(prefix) :]: v for n, v in self._state.items() if n not in skipped}
        try:
            canonical = to_canonical(state, entry, self._source, expected)
        except WeightsError as error:
            return error
        return replace(canonical, dropped=(*canonical.dropped, *beside, *self._outside))

    def _prefixes(self, expected: Shapes) -> list[str]:
        """Returns the prefixes of about as many tensors as a backbone has, the shortest first.

        Every second tensor may be missing (MindSpore's convolutions have no biases), and there may
        be twice as many (where queries, keys and values are stored apart), and a head.
        """
        least, most = len(expected) / 2, 2 * len(expected) + 20
        fitting = [prefix for prefix, count in self._counts.items() if least <= count <= most]
        return sorted(fitting, key=lambda prefix: prefix.count("."))[:MAX_CANDIDATES]

    def _only_one(self, found: Mapping[str, Canonical], entry: BackboneEntry) -> Canonical:
        originals = {p: each for p, each in found.items() if not _is_copy(p)} or dict(found)
        first, *others = originals.values()
        if all(_equal(first.tensors, other.tensors) for other in others):
            return first
        listed = ", ".join(f"'{printable(each, 60)}'" for each in list(originals)[:LISTED])
        raise AmbiguousWeights(
            f"'{self._source}' holds {len(originals)} models that fit {entry.name}, under {listed};"
            " choose one with backbone.prefix, or --prefix of isotune convert."
        )


def _count_by_prefix(names: Iterable[str]) -> Counter[str]:
    """Returns the number of weights under every prefix."""
    counts: Counter[str] = Counter()
    for name in names:
        *parts, last = name.split(".")
        if last not in NO_STATE:
            depth = min(len(parts), MAX_PARTS)
            counts.update(".".join(parts[:end]) + "." for end in range(1, depth + 1))
    return counts


def _under(prefix: str, state: Arrays) -> Arrays:
    return {n[len(prefix) :]: value for n, value in state.items() if n.startswith(prefix)}


def _is_beside(name: str, state: Arrays) -> bool:
    first, dot, _ = name.partition(".")
    is_number = not dot and state[name].size < 2
    return is_number or is_beside(first) or COPY.fullmatch(first) is not None


def _fits(
    attempt: Canonical | WeightsError, entry: BackboneEntry, expected: Shapes
) -> TypeGuard[Canonical]:
    return isinstance(attempt, Canonical) and fits(expected, attempt.tensors, entry)


def _is_copy(prefix: str) -> bool:
    return any(COPY.fullmatch(part) for part in prefix.split("."))


def _equal(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(
        one[name] is other[name] or np.array_equal(one[name], other[name]) for name in one
    )
