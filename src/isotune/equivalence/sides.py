"""A side as the user writes it: ``torch:cuda:1,precision=bf16``."""

from __future__ import annotations

from dataclasses import dataclass

from isotune.errors import SpecError, nearest

CHOICES = ("precision", "compile", "reduction")
"""Fields of the spec in which two sides of one experiment may differ."""


@dataclass(frozen=True)
class ChosenSide:
    """The backend and device of a side, and how it computes.

    Attributes:
        backend: Name of the backend.
        device: As for ``isotune.run``.
        overrides: Overrides of the spec, ``FIELD=VALUE``, of fields in :data:`CHOICES`.
    """

    backend: str
    device: str = "auto"
    overrides: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = self.backend if self.device == "auto" else f"{self.backend}:{self.device}"
        return ",".join((place, *self.overrides))


def parse_side(text: str) -> ChosenSide:
    """Returns the side that a text such as ``mindspore`` or ``torch:cpu,compile=true`` names.

    Raises:
        SpecError: The text is not of this form.
    """
    place, *overrides = text.split(",")
    backend, _, device = place.partition(":")
    if not backend or place.endswith(":"):
        raise SpecError(f"'{text}': a side is BACKEND or BACKEND:DEVICE, such as NAME:cuda:1.")
    for override in overrides:
        field, equals, value = override.partition("=")
        if field not in CHOICES or not (equals and value):
            raise SpecError(
                f"'{text}': '{override}' should be FIELD=VALUE, where FIELD is one of"
                f" {', '.join(CHOICES)};{nearest(field, CHOICES)} overrides of the spec"
                " are for both sides."
            )
    return ChosenSide(backend, device or "auto", tuple(overrides))
