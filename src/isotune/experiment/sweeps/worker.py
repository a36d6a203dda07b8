"""A process that works on a sweep: ``python -m isotune.experiment.sweeps.worker``.

Its first line of input is a :class:`~isotune.experiment.sweeps.job.Job` as JSON. The end of the
input asks it to stop, so that it does not outlive the process that started it. It writes a line of
JSON for each trial that ended, and one for the error that ended it, if any.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any, TextIO

from isotune.errors import IsotuneError
from isotune.experiment.sweeps.job import Job
from isotune.experiment.sweeps.search import run_trials
from isotune.interfaces.sweep import TrialEnded
from isotune.plugins import plugins


class _Reporter:
    """An observer that writes each trial as a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def isotune_trial_ended(self, event: TrialEnded) -> None:
        self.write({**vars(event), "folder": str(event.folder), "trial": vars(event.trial)})

    def write(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # there is nobody left to tell
            print(json.dumps(message), file=self._stream, flush=True)


def main() -> None:
    """Works on the sweep."""
    job = json.loads(sys.stdin.readline())
    # What a framework prints goes where its warnings go.
    reporter = _Reporter(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Thread(target=_stop_at_the_end_of_input, daemon=True).start()
        run_trials(Job.from_json(job), [reporter], plugins)
    except IsotuneError as error:
        reporter.write({"error": type(error).__name__, "lines": error.args})
    except KeyboardInterrupt:
        reporter.write({"error": "StoppedError", "lines": ["interrupted."]})
    finally:  # the end of the input asks nothing more
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _stop_at_the_end_of_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
