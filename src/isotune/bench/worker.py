"""A measurement in a process of its own: ``python -m isotune.bench.worker KIND JSON [DATA]``.

The last line of its output is a JSON object: the figures, or ``{"error": SENTENCE}``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from isotune.bench.measuring import measure_data, measure_step
from isotune.bench.setting import Setting
from isotune.errors import IsotuneError


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    kind, setting = arguments[0], Setting(**json.loads(arguments[1]))
    try:
        figures: dict[str, Any] = (
            measure_data(setting, Path(arguments[2])) if kind == "data" else measure_step(setting)
        )
    except IsotuneError as error:
        figures = {"error": str(error)}
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
