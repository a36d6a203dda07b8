"""Errors of downloads."""

from __future__ import annotations


class DownloadError(Exception):
    """A download failed. The text gives the reason, to follow ``URL was not downloaded:``."""


class Unreachable(DownloadError):
    """The server did not answer."""


class Broken(DownloadError):
    """The response was incomplete or the server is busy; another attempt may succeed."""


class TooLarge(DownloadError):
    """The file is larger than it may be; what was received of it is useless."""


class Outdated(Exception):
    """The partial download does not belong to the file that the server has now."""
