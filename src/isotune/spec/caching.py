"""What a run keeps so as not to compute it again; whether it does changes no result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from isotune.spec.base import SpecModel

Mebibytes = Annotated[int, Field(ge=0)]


class CacheSpec(SpecModel):
    """What a run keeps so as not to compute it again.

    Attributes:
        pictures: ``auto`` keeps decoded pictures, transformed as far as that is not random,
            where they come from files; ``off`` decodes them anew in every epoch.
        memory: MiB of their pixels that are kept in memory.
        disk: MiB of those that memory has no room for, kept in a temporary file.
    """

    pictures: Literal["auto", "off"] = "auto"
    memory: Mebibytes = 1024
    disk: Mebibytes = 8192
