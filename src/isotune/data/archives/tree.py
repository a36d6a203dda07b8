"""The folders in an archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from isotune.data.folders import SPLIT_NAMES, is_hidden, is_image, one_form


class Tree:
    """The folders in an archive, by their paths in it: ``""``, ``a/``, ``a/b/``.

    Args:
        names: The names of its entries; those of folders end in a slash.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._inside: dict[str, dict[str, None]] = {"": {}}
        self._with_images: set[str] = set()
        for name in names:
            place, slash, file = name.rpartition("/")
            folder = place + slash
            if folder not in self._inside:
                self._add(folder)
            if file and is_image(file) and not is_hidden(file):
                self._with_images.add(folder)

    def _add(self, folder: str) -> None:
        place = ""
        for part in folder.split("/")[:-1]:
            self._inside[place][part] = None
            place += f"{part}/"
            self._inside.setdefault(place, {})

    def subfolders(self, folder: str) -> list[str]:
        """Returns the names of the folders in a folder, sorted, without hidden ones."""
        return sorted(name for name in self._inside[folder] if not is_hidden(name))

    def find(self, path: str) -> str | None:
        """Returns the folder of a path in the archive.

        A folder that holds all others, and no image itself, may be missing in the path: archives
        often have one around what they hold.
        """
        for place in self._around():
            found = self._down(place, PurePosixPath(path).parts)
            if found is not None:
                return found
        return None

    def innermost(self) -> str:
        """Returns the first folder that holds more than a single folder of folders."""
        return list(self._around())[-1]

    def of_splits(self) -> str:
        """Returns the first folder that holds one with a split's usual name, or the innermost."""
        places = list(self._around())
        named = (place for place in places if SPLIT_NAMES & set(self.subfolders(place)))
        return next(named, places[-1])

    def _around(self) -> Iterator[str]:
        """Yields the folders that hold everything, from the outermost one on."""
        place = ""
        yield place
        while (inner := self._single(place)) is not None and not self._is_class(inner):
            place = inner
            yield place

    def _is_class(self, folder: str) -> bool:
        return folder in self._with_images or not self.subfolders(folder)

    def _single(self, place: str) -> str | None:
        names = self.subfolders(place)
        return f"{place}{names[0]}/" if len(names) == 1 and place not in self._with_images else None

    def _down(self, place: str, parts: Iterable[str]) -> str | None:
        """Returns the folder to which `parts` lead, in any Unicode form."""
        for part in parts:
            names = [name for name in self._inside[place] if one_form(name) == one_form(part)]
            if not names:
                return None
            place += f"{part if part in names else names[0]}/"
        return place
