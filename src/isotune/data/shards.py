"""Finds the files into which a split is divided, such as ``train-00000-of-00004.parquet``."""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from isotune.data.folders import SPLIT_NAMES, is_hidden, one_form
from isotune.errors import DatasetError, listed, nearest
from isotune.interfaces.dataset import NoSplitError
from isotune.storage.paths import is_dir, is_file, is_plain_name

MAX_SHARDS = 1_000_000
"""Number of names that a pattern may stand for."""

_NAME = re.compile(
    r"(?P<stem>.*?)"
    r"(?:[-_.]?(?P<number>\d{1,18})(?:-of-(?P<count>\d{1,18}))?)?"
    r"(?:-[0-9a-f]{16})?"  # part of a hash, by earlier versions of Hugging Face's datasets
)
"""Names of shards, without the ending."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")

_INNER = ("", "data")
"""Folders of a dataset that shards are looked for in: Hugging Face's datasets have the second."""


@dataclass(frozen=True)
class _Shard:
    """A file, and what its name says.

    Attributes:
        path: The file.
        stem: Its name without number and ending.
        number: Its number; -1 if it has none.
        count: How many there are, as its name says; 0 if it does not.
    """

    path: Path
    stem: str
    number: int
    count: int


def find_shards(root: Path, split: str | None, ending: str) -> list[Path]:
    """Returns the files of a split, by their numbers.

    Where the split is called ``train`` these are

    - those that a pattern in place of its name stands for: ``train-{000000..000099}.tar``;
    - all in the folder ``train``;
    - ``train-00000-of-00004.parquet`` and the like, ``imagenet-train-000000.tar``, ``train.tar``,
      in the dataset's folder or in its folder ``data``.

    Args:
        root: The dataset's folder, or its only file.
        split: The split's name; None finds the files of a dataset without splits.
        ending: What names of files end in.

    Raises:
        NoSplitError: There are none of the split.
        DatasetError: There are none at all, one is missing in the numbering, or there are several
            sets.
    """
    if is_file(root):
        return _single(root, split)
    if not is_dir(root):
        raise DatasetError(f"{root}: there is no such dataset folder.")
    if split is not None and (split.endswith(ending) or set("{*?[") & set(split)):
        return _matching(root, split, ending)
    sets = _sets(root, ending)
    if split is None:
        chosen = sets
    elif is_dir(root / split) and is_plain_name(split):
        inside = _shards_in(root / split, ending)
        chosen = {split: inside} if inside else {}
    else:
        chosen = {stem: found for stem, found in sets.items() if _belongs(stem, split)}
    if not chosen:
        kind = DatasetError if split is None else NoSplitError
        raise kind(f"{root}: {_what_there_is(sets, split, ending)}")
    if split is None and any(_split_of(stem) for stem in chosen):
        raise DatasetError(
            f"{root}: has splits of its own, {listed(sorted(chosen))}; name them in dataset.splits,"
            " without dataset.split."
        )
    if len(chosen) > 1:
        example = next(iter(chosen.values()))[0].path.relative_to(root).as_posix()
        raise DatasetError(
            f"{root}: several sets of files may be meant, {listed(sorted(chosen))}; name one by a"
            f" pattern in dataset.splits, such as '{re.sub('[0-9]+', '*', example, count=1)}'."
        )
    (shards,) = chosen.values()
    return _complete(shards)


def may_have_shards(place: Path, ending: str) -> bool:
    """Whether it is a file with this ending, or a folder in which some are looked for and found."""
    if is_file(place):
        return place.name.lower().endswith(ending)
    folders = (*(place / name for name in _INNER), place / "train")
    return any(is_dir(each) and bool(_shards_in(each, ending)) for each in folders)


def _single(path: Path, split: str | None) -> list[Path]:
    if split is not None:
        raise NoSplitError(
            f"{path}: is a single file, which has no split '{split}': divide it by dataset.split,"
            " or name the folder of the splits' files in dataset.path."
        )
    return [path]


def _matching(root: Path, pattern: str, ending: str) -> list[Path]:
    """Returns the files that a pattern stands for, in the order of its names."""
    paths: list[Path] = []
    for name in itertools.islice(_expanded(pattern), MAX_SHARDS):
        parts = PurePosixPath(name).parts
        if not all(map(is_plain_name, parts)):
            raise DatasetError(
                f"dataset.splits: '{pattern}' should be a name or a pattern inside {root}."
            )
        folder = root.joinpath(*parts[:-1])
        if set("*?[") & set(parts[-1]):
            inside = _shards_in(folder, ending) if is_dir(folder) else []
            matches = [s for s in inside if fnmatch.fnmatchcase(s.path.name, parts[-1])]
            paths.extend(_complete(matches))
        elif is_file(folder / parts[-1]):
            paths.append(folder / parts[-1])
        else:
            raise DatasetError(f"{folder / parts[-1]}: is missing, one of '{pattern}'.")
    if not paths:
        raise DatasetError(f"{root}: '{pattern}' matches no file.")
    return list(dict.fromkeys(paths))


def _expanded(pattern: str) -> Iterator[str]:
    """Yields the names that braces stand for: ``{000..099}``, ``{a,b}``."""
    pieces = _BRACES.split(pattern)  # what is in braces is every second one
    choices = [_choices(piece) if place % 2 else [piece] for place, piece in enumerate(pieces)]
    return map("".join, itertools.product(*choices))


def _choices(text: str) -> Sequence[str]:
    numbers = _RANGE.fullmatch(text)
    if numbers is None:
        return text.split(",")
    first, last = numbers.groups()
    width = len(first) if first.startswith("0") else 0
    end = min(int(last), int(first) + MAX_SHARDS) + 1
    return [str(number).zfill(width) for number in range(int(first), end)]


def _sets(root: Path, ending: str) -> dict[str, list[_Shard]]:
    """Returns the files of a dataset by what their names begin with, and the folder's name."""
    sets: dict[str, list[_Shard]] = defaultdict(list)
    for inner in _INNER:
        if is_dir(root / inner):
            for shard in _shards_in(root / inner, ending):
                sets[f"{inner}/{shard.stem}".lstrip("/")].append(shard)
    return dict(sets)


def _shards_in(folder: Path, ending: str) -> list[_Shard]:
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read: {error.strerror}.") from error
    shards = []
    for name in names:
        if name.lower().endswith(ending) and not is_hidden(name) and is_file(folder / name):
            match = _NAME.fullmatch(name[: -len(ending)])
            assert match is not None, "a stem may be anything"
            number, count = match["number"], match["count"]
            stem = one_form(match["stem"])
            shards.append(_Shard(folder / name, stem, int(number or -1), int(count or 0)))
    return sorted(shards, key=lambda shard: (shard.stem, shard.number, shard.path.name))


def _belongs(stem: str, split: str) -> bool:
    """Whether files whose names begin with `stem` may be those of a split."""
    name, wanted = stem.rpartition("/")[2], one_form(split)
    return stem == wanted or name == wanted or name.endswith((f"-{wanted}", f"_{wanted}"))


def _split_of(stem: str) -> str | None:
    """Returns the usual name of a split that a stem ends in, or None."""
    last = re.split(r"[-_./]", stem)[-1]
    return last if last.lower() in SPLIT_NAMES else None


def _complete(shards: Sequence[_Shard]) -> list[Path]:
    """Returns the paths of shards after checking that none is missing in their numbering.

    Raises:
        DatasetError: One is missing, or the names say different numbers of shards.
    """
    for _, group in itertools.groupby(shards, lambda shard: shard.stem):
        same = list(group)
        counts = sorted({shard.count for shard in same})
        folder = same[0].path.parent
        if len(counts) > 1:
            raise DatasetError(
                f"{folder}: names of files of '{same[0].stem}' say different numbers of files:"
                f" {', '.join(f'-of-{count:05}' for count in counts)}."
            )
        numbers = {shard.number for shard in same}
        first = 0 if counts[0] else min(numbers)
        last = max(numbers.union({counts[0] - 1} if counts[0] else ()))
        if len(numbers) == last - first + 1:
            continue
        missing = next(number for number in range(first, last + 1) if number not in numbers)
        raise DatasetError(
            f"{folder}: {same[0].path.name} and {len(same) - 1} more are there, but file {missing}"
            f" of {first} to {last} is missing."
        )
    return [shard.path for shard in shards]


def _what_there_is(sets: dict[str, list[_Shard]], split: str | None, ending: str) -> str:
    if not sets:
        return f"there is no file in it whose name ends in {ending}."
    names = sorted({_split_of(stem) or stem for stem in sets})
    return (
        f"has no files of the split '{split}'.{nearest(split or '', names)} It has {listed(names)};"
        " dataset.splits names those to train and to validate on."
    )
