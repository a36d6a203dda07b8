"""Opens Optuna's storage: a file of SQLite in the sweep's folder, or a database elsewhere.

SQLite, not Optuna's journal file: a process that is killed leaves neither half a record nor a lock
that others must wait for, since SQLite completes or undoes a transaction and the operating system
releases its locks. The journal stops all readers at a half-written line, and its lock is a link
that stays. Nothing that Optuna keeps in an SQL database is a pickle.
"""

from __future__ import annotations

import socket
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from isotune.errors import RunError, SpecError
from isotune.storage.downloads import address
from isotune.storage.untrusted import open_regular

BUSY_SECONDS = 60
"""How long SQLite waits for another process to finish writing."""


def machine() -> str:
    """Returns the name of this machine, by which it finds the trials that it had begun."""
    return socket.gethostname()


def check_url(url: str) -> str:
    """Returns a database's address as it may be shown, without user and password.

    Raises:
        SpecError: It is not an address of a database that SQLAlchemy takes.
    """
    try:
        known = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise SpecError(
            "--storage: is not the address of a database, such as"
            " postgresql://user:password@host/name or mysql+pymysql://host/name."
        ) from None
    if known.get_backend_name().startswith("redis"):
        raise SpecError(
            "--storage: is Redis, in which Optuna keeps pickled data, and Isotune loads no pickle;"
            " use a PostgreSQL, MySQL or SQLite database."
        )
    return address.shown(url)


def open_storage(file: Path, url: str | None) -> BaseStorage:
    """Opens a storage, and creates its tables if they are missing.

    Args:
        file: The file of SQLite, for a sweep without an address.
        url: The database's address, or None.
    """
    if url is not None:
        return RDBStorage(url)

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(file, timeout=BUSY_SECONDS, check_same_thread=False)
        # A file that somebody else made may have views and triggers, which run functions.
        connection.execute("PRAGMA trusted_schema=OFF")
        return connection

    if file.exists():
        open_regular(file).close()
    # With `creator` the address is not used, so that a path may have any characters.
    return RDBStorage("sqlite:///trials.db", engine_kwargs={"creator": connect})


@contextmanager
def storage_errors(shown: str, url: str | None) -> Iterator[None]:
    """Turns what goes wrong in a storage into a sentence, and keeps Optuna quiet.

    Args:
        shown: Name of the storage, for the message.
        url: Its address, whose password the message leaves out, or None.

    Raises:
        RunError: The storage cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (SQLAlchemyError, StorageInternalError, sqlite3.Error, ImportError, OSError) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        reason = " ".join(str(cause).split()).rstrip(".") or type(cause).__name__
        text = _without_secrets(reason, url)
        raise RunError(f"{shown}: cannot be used as a sweep's storage: {text}.") from None


def _without_secrets(text: str, url: str | None) -> str:
    """Returns what went wrong, unless it quotes what an address may hold of secrets."""
    if url is None:
        return text
    parsed: URL = make_url(url)
    secrets = [url, parsed.password, *map(str, parsed.query.values())]
    quoted = any(str(secret) in text for secret in secrets if secret)
    return "its driver's message quotes a secret of the address" if quoted else text
