"""Lets the processes of a machine read the images that others of them have decoded."""

from __future__ import annotations

import os
from pathlib import Path

from isotune.data.caches.open import PixelCaches
from isotune.data.caches.shared_pixels import SharedPixelStore
from isotune.distributed.group import Group


def share_pixels(group: Group, caches: PixelCaches) -> None:
    """Opens the files of all processes in each of them; then no file has a name.

    Args:
        group: The processes.
        caches: The caches of this process's images.
    """
    if group.place.alone:
        return
    # Other machines may have no disk space for them, or one process each.
    store = caches.train if isinstance(caches.train, SharedPixelStore) else None
    with group.reporting():
        own = store.offer() if store is not None else None
    names = group.exchange(os.fsencode(own) if own else b"")
    others = [name for rank, name in enumerate(names) if name and rank != group.place.rank]
    if store is not None:
        store.join([Path(os.fsdecode(name)) for name in others])
    group.exchange()
    if store is not None:
        store.hide()
