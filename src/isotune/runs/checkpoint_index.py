"""Which checkpoints a run keeps."""

from __future__ import annotations

from dataclasses import dataclass

from isotune.errors import nearest


@dataclass(frozen=True)
class Index:
    """Which checkpoints a run keeps, by the names of their folders.

    Attributes:
        best: Folder of the best epoch so far; None while no epoch was evaluated.
        kept: Folders of the most recent checkpoints, oldest first.
    """

    best: str | None = None
    kept: tuple[str, ...] = ()

    @property
    def last(self) -> str | None:
        """Folder of the most recent checkpoint; None while there is none."""
        return self.kept[-1] if self.kept else None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all folders, each once."""
        return tuple(dict.fromkeys((*([self.best] if self.best else []), *self.kept)))

    def find(self, which: str) -> str | None:
        """Returns the folder that `which` names: ``best``, ``last`` or the folder itself."""
        if which in ("best", "last"):
            return self.best if which == "best" else self.last
        return which if which in self.names else None

    def missing(self, which: str) -> str:
        """Returns that there is no such checkpoint, and which there are, as a sentence."""
        if not self.names:
            return "there is no checkpoint yet."
        marks = {"best": self.best, "last": self.last}
        marked = [f"{mark} ({name})" for mark, name in marks.items() if name]
        others = [name for name in self.kept if name not in (self.best, self.last)]
        return (
            f"there is no checkpoint '{which}'.{nearest(which, ('best', 'last', *self.names))}"
            f" There are: {', '.join((*marked, *others))}."
        )
