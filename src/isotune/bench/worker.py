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
from isotune.errors import IsotuneError, SpecError

MEASURES = {"data": measure_data, "cached": measure_cached}


def main(arguments: list[str]) -> None:
    """Runs the measurement and prints its figures."""
    try:
        kind, setting, *data = arguments
        figures = measure(kind, json.loads(setting), data)
    except IsotuneError as error:
        figures = {"error": str(error)}
    print(json.dumps(figures), flush=True)


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
