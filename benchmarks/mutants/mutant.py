"""What a mutant is, what has to be found of it, and where the lists of mutants lie."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from isotune.equivalence.certificates.certificate import Certificate

LIST = Path(__file__).with_name("mutants.json")


@dataclass(frozen=True)
class Mutant:
    """One change of one side.

    Attributes:
        number: Its number in the list, from 1.
        experiment: Name of the experiment (:mod:`experiments`).
        side: The backend that is changed.
        change: Name of the change.
        what: The change, in words.
        path: Path of the changed layer or block; None if it is no layer's.
        partner: Path of the second layer, of `swapped_weights`.
        stages: Stages at which the place may lie; empty for any.
        names: What the place's name has to begin with, one of them; empty for anything.
    """

    number: int
    experiment: str
    side: str
    change: str
    what: str
    path: str | None = None
    partner: str | None = None
    stages: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def found(self, certificate: Certificate) -> bool:
        """Whether the certificate says that the sides differ, at the right place."""
        place = certificate.place
        if certificate.verdict != "differs" or place is None:
            return False
        if self.stages and place.stage not in self.stages:
            return False
        if self.path is not None:
            return self.path in (place.path, owner(place.name))
        return not self.names or place.name.startswith(self.names)


def owner(name: str) -> str:
    """Returns the path of the layer that a parameter or statistic belongs to."""
    return name.partition("/")[0].rpartition(".")[0]


def read_list(path: Path = LIST) -> list[Mutant]:
    """Returns the mutants of a list."""
    rows = json.loads(path.read_text("utf-8"))
    pairs = ("stages", "names")
    return [Mutant(**{**row, **{key: tuple(row[key]) for key in pairs}}) for row in rows]


def write_list(mutants: Sequence[Mutant], path: Path = LIST) -> None:
    """Writes a list, one mutant a line."""
    lines = ",\n".join(json.dumps(asdict(mutant)) for mutant in mutants)
    path.write_text(f"[\n{lines}\n]\n", "utf-8")
