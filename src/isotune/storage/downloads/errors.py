"""What can go wrong with a download."""

from __future__ import annotations


class DownloadError(Exception):
    """A download failed. The text says why, to stand behind ``URL was not downloaded:``."""


class Unreachable(DownloadError):
    """The server did not answer."""


class Broken(DownloadError):
    """The server answered, but not to the end, or it is busy: worth another try."""


class Outdated(Exception):
    """What is there of the file and what the server has now do not belong together."""
