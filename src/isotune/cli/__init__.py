"""The command line, thin over the Python API.

Nothing here imports a framework, nor NumPy or pydantic, before a command needs it.
"""

from __future__ import annotations


def main() -> None:
    """Runs the command line: the entry point ``isotune``."""
    from isotune.cli.streams import prepare_streams

    prepare_streams()
    from isotune.cli.app import app
    from isotune.storage.memory import own_process

    own_process()
    app(prog_name="isotune")
