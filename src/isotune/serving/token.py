"""The token that clients have to send: from a file or the environment.

Not from the command line, which every user of a machine can read.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from isotune.data.decode import reason
from isotune.errors import SpecError
from isotune.storage.untrusted import open_regular

VARIABLE = "ISOTUNE_TOKEN"
"""Environment variable."""

SHORTEST, LONGEST = 16, 1024
"""Number of characters. 16 drawn ones cannot be guessed over a network."""


def read_token(file: Path | None) -> str | None:
    """Returns the token in a file, or in ``ISOTUNE_TOKEN``; None if neither is given.

    Raises:
        SpecError: The file cannot be read, other users may read it, or the token is too short or
            has characters that no header can have.
    """
    if file is not None:
        return _checked(_content(file), str(file))
    token = os.environ.get(VARIABLE)
    return None if token is None else _checked(token, VARIABLE)


def _content(file: Path) -> str:
    try:
        with open_regular(file, follow=True) as opened:
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read(LONGEST + 3)
    except OSError as error:
        raise SpecError(f"{file}: cannot be read: {reason(error)}.") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SpecError(f"{file}: other users may read this token; `chmod 600` makes it yours.")
    return content.decode("ascii", "replace")


def _checked(token: str, where: str) -> str:
    token = token.strip("\r\n")
    if not re.fullmatch(rf"[!-~]{{{SHORTEST},{LONGEST}}}", token):
        raise SpecError(
            f"{where}: a token should have {SHORTEST} to {LONGEST} letters, digits and ASCII"
            " punctuation marks in one line; `openssl rand -hex 16` makes one."
        )
    return token
