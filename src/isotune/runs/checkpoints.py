"""The checkpoints of a run on disk.

::

    checkpoints/
        index.json             {"best": "epoch-0003", "kept": ["step-00001560", "epoch-0005"]}
        epoch-0003/            see isotune.runs.checkpoint
        epoch-0005/
        step-00001560/         the same, in the middle of an epoch

A folder is written under a temporary name, flushed and renamed, and the index replaced after
that, so that what the index names is always whole. Other checkpoints, and what killed processes
left of them, are removed last; nothing else is, and no link is followed.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isotune.errors import RunError
from isotune.interfaces.checkpoint import State
from isotune.runs.checkpoint import (
    Checkpoint,
    WrittenStates,
    check_checkpoint,
    read_checkpoint,
    read_manifest,
    write_manifest,
    write_states,
)
from isotune.runs.checkpoint_index import Index
from isotune.runs.read import checked, parse_json, read_bytes, unusable
from isotune.runs.schema import NAME, IndexFile, Manifest
from isotune.storage.atomic import flush_folder, is_draft_of, write_atomically
from isotune.storage.untrusted import refuse_link

log = logging.getLogger(__name__)

INDEX, LARGEST_INDEX = "index.json", 1 << 20
CHECKPOINT = re.compile(NAME)
TEMPORARY = re.compile(rf"\.{NAME}\.[0-9]+")
"""Names of checkpoints' folders, and of those that are being written."""


@dataclass(frozen=True)
class Draft:
    """A folder with the tensors of a checkpoint that has no manifest yet.

    Attributes:
        folder: The folder, under a temporary name.
        states: What is known of its files.
    """

    folder: Path
    states: WrittenStates

    def discard(self) -> None:
        """Removes it."""
        shutil.rmtree(self.folder, ignore_errors=True)


class CheckpointStore:
    """Keeps the most recent checkpoints of a run, and that of the best epoch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, name: str, states: Mapping[str, State]) -> Draft:
        """Writes the tensors of a checkpoint, which is nothing before :meth:`finish`.

        Args:
            name: Name of the checkpoint's folder, of which the draft's is made.
            states: The states by the names of their files.

        Raises:
            RunError: they cannot be written; earlier checkpoints are untouched.
        """
        draft = self._folder / f".{name}.{os.getpid()}"
        with self._writing(name, draft):
            refuse_link(self._folder)
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            return Draft(draft, write_states(draft, states))

    def finish(self, draft: Draft, manifest: Manifest, *, keep: int, best: bool = False) -> None:
        """Makes a draft the last checkpoint.

        Args:
            draft: What :meth:`begin` has written.
            manifest: The manifest. No other checkpoint has its name.
            keep: Number of most recent checkpoints to keep; older ones are removed, except the
                best.
            best: Whether it also becomes the best one.

        Raises:
            RunError: it cannot be written; earlier checkpoints are untouched.
        """
        name = manifest.name
        with self._writing(name, draft.folder):
            refuse_link(self._folder)
            write_manifest(draft.folder, manifest, draft.states)
            final = self._folder / name
            shutil.rmtree(final, ignore_errors=True)  # a kill left it before it was indexed
            draft.folder.replace(final)
            flush_folder(self._folder)
            index = self.index()
            kept = (*(each for each in index.kept if each != name), name)[-keep:]
            self._write_index(Index(best=name if best else index.best, kept=kept))

    @contextmanager
    def _writing(self, name: str, draft: Path) -> Iterator[None]:
        """Turns what cannot be written within into a sentence, and removes the draft."""
        try:
            yield
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise RunError(
                f"{self._folder / name}: cannot be written: {error.strerror or error}."
                " The checkpoints before it are untouched."
            ) from error

    def forget_after(self, name: str) -> None:
        """Removes all checkpoints newer than `name`, including the best one.

        A damaged best one is removed with a warning.

        Args:
            name: Name of an intact checkpoint's folder.

        Raises:
            RunError: the index cannot be written.
        """
        index = self.index()
        kept = index.kept[: index.kept.index(name) + 1] if name in index.kept else (name,)
        best = index.best
        if best is not None and best != name and not self._is_whole(best):
            log.warning("%s: is damaged, and no longer the best.", self._folder / best)
            best = None
        if best is not None and best not in kept and self._step(best) > self._step(name):
            best = None
        try:
            self._write_index(Index(best, kept))
        except OSError as error:
            raise RunError(f"{self._folder}: cannot be written: {error.strerror}.") from error

    def index(self) -> Index:
        """Returns which checkpoints there are.

        Raises:
            RunError: the index is damaged.
        """
        path = self._folder / INDEX
        try:
            refuse_link(self._folder)
        except OSError as error:
            raise unusable(self._folder, error) from error
        if not os.path.lexists(path):
            self._check_not_lost(path)
            return Index()
        found = checked(IndexFile, parse_json(read_bytes(path, LARGEST_INDEX), path), path)
        return Index(found.best, tuple(found.kept))

    def load(self, which: str, optimizer: bool = True) -> Checkpoint:
        """Reads a checkpoint and checks its hashes.

        Args:
            which: ``best``, ``last``, or the name of a checkpoint's folder.
            optimizer: As for :func:`isotune.runs.checkpoint.read_checkpoint`.

        Raises:
            RunError: there is none, or one of its files is damaged; the message names the file
                and the most recent other checkpoint that is intact.
        """
        index = self.index()
        name = index.find(which)
        if name is None:
            raise RunError(f"{self._folder}: {index.missing(which)}{self._where_kept(index)}")
        try:
            return read_checkpoint(self._folder / name, optimizer)
        except RunError as error:
            whole = next(self.intact(besides=name), None)
            offer = f" {whole} is intact: --checkpoint {whole} uses it." if whole else ""
            raise RunError(f"{error}{offer}") from error

    def manifest_at(self, step: int) -> Manifest | None:
        """Returns the manifest of the checkpoint after `step` training steps; None without one.

        Raises:
            RunError: the index or a manifest is damaged.
        """
        manifests = (read_manifest(self._folder / name) for name in self.index().names)
        return next((manifest for manifest in manifests if manifest.step == step), None)

    def last_backend(self) -> str | None:
        """Returns the name of the backend that wrote the last checkpoint; None without one.

        Raises:
            RunError: the index or the manifest is damaged.
        """
        last = self.index().last
        return read_manifest(self._folder / last).backend if last else None

    def intact(self, besides: str) -> Iterator[str]:
        """Yields the names of the other checkpoints that are intact, the most recent first."""
        others = (name for name in reversed(self.index().names) if name != besides)
        return filter(self._is_whole, others)

    def _where_kept(self, index: Index) -> str:
        """Returns where there are checkpoints if this is a trial of a sweep that keeps none."""
        from isotune.runs.folder import SWEEP  # which imports this module

        of_a_sweep = os.path.lexists(self._folder.parent.parent.parent / SWEEP)
        if index.names or not of_a_sweep:
            return ""
        return " A sweep keeps those of its best trial, and with --keep all those of every trial."

    def _is_whole(self, name: str) -> bool:
        try:
            check_checkpoint(self._folder / name)
        except RunError:
            return False
        return True

    def _step(self, name: str) -> int:
        return read_manifest(self._folder / name).step

    def _write_index(self, index: Index) -> None:
        best = {"best": index.best} if index.best else {}
        text = json.dumps({**best, "kept": list(index.kept)}) + "\n"
        write_atomically(self._folder / INDEX, text)
        for path in self._folder.iterdir():
            if CHECKPOINT.fullmatch(path.name) and path.name not in index.names:
                shutil.rmtree(path, ignore_errors=True)  # which refuses a link
        self.remove_temporaries()

    def remove_temporaries(self) -> None:
        """Removes what killed processes were writing.

        Only the process that has claimed the run may call it.

        Raises:
            OSError: the folder cannot be read, or is a link.
        """
        refuse_link(self._folder)
        for path in self._folder.iterdir():
            if TEMPORARY.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
            elif is_draft_of(path.name, INDEX):
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes all checkpoints, for good.

        Raises:
            OSError: the folder cannot be read, or is a link.
        """
        refuse_link(self._folder)
        (self._folder / INDEX).unlink(missing_ok=True)
        for path in self._folder.iterdir():
            if CHECKPOINT.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)  # which refuses a link
        self.remove_temporaries()

    def holds_only_temporaries(self) -> bool:
        """Whether no checkpoint was saved: there are at most unfinished or unindexed ones.

        Raises:
            OSError: the folder cannot be read, or is a link.
        """
        refuse_link(self._folder)
        names = [path.name for path in self._folder.iterdir()] if self._folder.exists() else []
        whole = [name for name in names if CHECKPOINT.fullmatch(name)]
        drafts = [name for name in names if TEMPORARY.fullmatch(name) or is_draft_of(name, INDEX)]
        return len(whole) < 2 and len(whole) + len(drafts) == len(names)

    def _check_not_lost(self, index: Path) -> None:
        # A process that is killed with its first checkpoint leaves one folder without an index.
        if self._folder.is_dir():
            found = sorted(p.name for p in self._folder.iterdir() if CHECKPOINT.fullmatch(p.name))
            if len(found) > 1:
                raise RunError(f"{index}: is missing, but there are {', '.join(found[-3:])}.")
