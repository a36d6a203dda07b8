"""Runs torchrun (``torch.distributed.run``) without its report: the processes say why they end."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run


def main(arguments: Sequence[str]) -> int:
    """Starts processes and waits for them.

    Args:
        arguments: Those of torchrun.

    Returns:
        0, or the exit code of the process that failed first; 128 plus the number of the signal
        that ended it, or that ended this one.
    """
    logging.disable()
    try:
        run(parse_args(list(arguments)))
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    except SignalException as error:
        return 128 + int(signal.Signals(error.sigval))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
