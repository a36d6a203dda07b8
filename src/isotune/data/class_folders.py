"""Class folders, on a disk or in an archive: which there must be."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from isotune.data.folders import SPLIT_NAMES, one_form
from isotune.errors import DatasetError, listed, nearest

SHOWN = 10
"""Number of folders that a message names."""


def by_form(place: object, names: Sequence[str]) -> dict[str, str]:
    """Returns the names of class folders, by themselves in one Unicode form.

    Args:
        place: The split, for messages.
        names: Names of the folders in it.

    Raises:
        DatasetError: There are none, or two have the same name in different forms.
    """
    result: dict[str, str] = {}
    for name in names:
        if result.setdefault(one_form(name), name) != name:
            raise DatasetError(
                f"{place}: has two folders named '{name}', written in different Unicode"
                " characters; put their images into one."
            )
    if not result:
        raise DatasetError(f"{place}: there is no class folder in it.")
    return result


def check_classes(place: object, present: Collection[str], expected: Sequence[str]) -> None:
    """Checks that class folders are those of training.

    Args:
        place: The split, for messages.
        present: Names of the folders in it, in one Unicode form.
        expected: The classes of training.

    Raises:
        DatasetError: Some are missing, or there are others.
    """
    wanted = set(map(one_form, expected))
    missing = sorted(wanted.difference(present))
    surplus = sorted(set(present) - wanted)
    complaints = []
    if missing:
        complaints.append(f"it lacks {listed(missing)}")
    if surplus:
        complaints.append(f"it has {listed(surplus)} beside them")
    if complaints:
        raise DatasetError(
            f"{place}: its class folders should be those of training, but"
            f" {' and '.join(complaints)}."
        )


def refuse_splits(place: object, classes: Sequence[str]) -> None:
    """Refuses folders of splits where class folders are expected.

    Args:
        place: What the folders are in, for messages.
        classes: Names of the folders.

    Raises:
        DatasetError: All have usual names of splits.
    """
    if {name.lower() for name in classes} <= SPLIT_NAMES:
        raise DatasetError(
            f"{place}: is split already into {' and '.join(classes)}; name these in"
            " dataset.splits, without dataset.split."
        )


def other_folders(split: str, names: Sequence[str], advice: str) -> str:
    """Returns what a message says of the folders that there are instead of a split's.

    Args:
        split: The split's name.
        names: Names of the folders.
        advice: What to do if these are classes.
    """
    there = f" It has: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}."
    guess = nearest(split, names)
    if not any(name.lower() in SPLIT_NAMES for name in names) and not guess:
        return f"{there} If these are classes, {advice}."
    return f"{guess}{there} dataset.splits names the folders to train and to validate on."
