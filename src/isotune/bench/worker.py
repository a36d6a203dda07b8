"""Runs one measurement: ``python -m isotune.bench.worker KIND JSON [DATA]``.

KIND is ``step``, ``cached``, ``data`` or ``inference``; JSON is a setting; DATA is a dataset's
folder.

The last line of the output is a JSON object: the figures, or ``{"error": SENTENCE}``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from isotune.bench.cached import measure_cached
from isotune.bench.inference import InferenceSetting, measure_inference
from isotune.bench.measure import measure_data, measure_step
from isotune.bench.setting import Setting
from isotune.distributed.parent import Parent, reach_parent
from isotune.errors import IsotuneError, SpecError
from isotune.plugins import plugins

MEASURES = {"data": measure_data, "cached": measure_cached}


def main(arguments: list[str]) -> None:
    """Runs the measurement and prints its figures, or has process 0 of several print them."""
    launched = plugins.launched()
    if launched is not None and (parent := reach_parent(launched[1])) is not None:
        share(parent, arguments)
        return
    try:
        kind, setting, *data = arguments
        figures = measure(kind, json.loads(setting), data)
    except IsotuneError as error:
        figures = {"error": str(error)}
    print(json.dumps(figures), flush=True)


def share(parent: Parent, arguments: list[str]) -> None:
    """Runs the measurement in one of several processes; process 0 writes the figures."""
    code, failed = 0, None
    try:
        kind, setting, *data = arguments
        figures = measure(kind, json.loads(setting), data)
        for stream in parent.streams[:1]:
            os.write(stream, json.dumps(figures).encode())
    except IsotuneError as error:
        code, failed = error.exit_code, error
    parent.tell(code, failed)
    if failed is not None:
        os._exit(code)  # the processes have not left each other in order


def measure(kind: str, fields: dict[str, Any], data: list[str]) -> dict[str, Any]:
    """Returns the figures of a measurement whose setting has these fields.

    Raises:
        IsotuneError: the measurement failed.
    """
    if kind == "inference":
        return measure_inference(InferenceSetting(**fields))
    setting = Setting(**fields)
    if kind == "step":
        return measure_step(setting)
    if not data:
        raise SpecError(f"'{kind}' needs images: name them with --data, or generate some.")
    # A new home, since caches of this measurement would change the next one.
    with TemporaryDirectory(prefix="isotune-bench-") as home:
        os.environ["ISOTUNE_HOME"] = home
        return MEASURES[kind](setting, Path(data[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
