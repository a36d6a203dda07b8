"""Runs `isotune fit` on folders of images, with several seeds.

    python benchmarks/fit.py hymenoptera_data car_vs_bicycle --backend torch --seeds 5

The folders are looked up as `isotune fit` does, also in $ISOTUNE_HOME/datasets. Each run is a
process of its own, with an empty cache of features; its seconds are those of a clock and of all
CPUs (user and system), start and imports included. Runs are added to benchmarks/results/fit.jsonl,
and the table of all of them is written beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from isotune.equivalence.machine import describe_machine
from isotune.fitting.fit import MINUTES
from isotune.reports.tables import Table
from isotune.runs.folder import RunFolder
from isotune.storage import home

RESULTS = Path(__file__).parent / "results"
COLUMNS = ["images", "backend", "seed", "backbone", "views", "best", "epoch", "last", "seconds",
           "CPU seconds"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+")
    parser.add_argument("--backend", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, help="by default that of isotune fit")
    parser.add_argument("--results", type=Path, default=RESULTS / "fit.jsonl")
    options = parser.parse_args()
    for images in options.images:
        for seed in range(options.seeds):
            row = measured(images, options.backend, seed, options.minutes)
            with options.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(*row.values(), flush=True)
    write_table(options.results)


def write_table(results: Path) -> None:
    """Writes the table of all runs so far beside their file."""
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    table = Table(COLUMNS)
    for row in rows:
        table.add(*(row[column] for column in COLUMNS))
    results.with_suffix(".md").write_text(heading(rows) + table.markdown() + "\n")


def heading(rows: list[dict[str, object]]) -> str:
    minutes = " or ".join(sorted({f"{row['minutes']:g}" for row in rows}))
    machine = describe_machine()
    return (
        "# isotune fit\n\nMade by `benchmarks/fit.py`: validation accuracy of the best epoch and of"
        " the last one, and the seconds of a clock and of all CPUs, start and imports included."
        f" `fit` got the images, the backend, a seed and {minutes} minutes. Where the clock's"
        " seconds are many more than those of the CPUs, other programs kept the machine busy. On"
        f" {machine['cpus']} CPUs ({machine['cpu']}, {machine['system']}).\n\n"
    )


def measured(images: str, backend: str, seed: int, minutes: float | None) -> dict[str, object]:
    """Returns what a run came to."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "home"
        own.mkdir()
        for name in ("datasets", "weights"):
            if (home.datasets().parent / name).exists():
                (own / name).symlink_to(home.datasets().parent / name)
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "isotune", "fit", images, "-b", backend, "-o", str(run)]
        command += ["--set", f"seed={seed}"]
        command += [] if minutes is None else ["--minutes", str(minutes)]
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "ISOTUNE_HOME": str(own)})  # fmt: skip
        seconds = time.perf_counter() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        called = {"images": images, "backend": backend, "seed": seed}
        took = {"seconds": round(seconds, 1), "CPU seconds": round(cpu, 1)}
        return {**called, "minutes": minutes or MINUTES, **outcome(run), **took}


def outcome(path: Path) -> dict[str, object]:
    folder = RunFolder.existing(path)
    spec, history = folder.spec(), folder.history()
    values = [epoch.values[spec.checkpoint.monitor] for epoch in history]
    return {
        "backbone": spec.backbone.name,
        "views": spec.cache.views,
        "best": round(max(values), 4),
        "epoch": f"{values.index(max(values)) + 1} of {len(history)}",
        "last": round(values[-1], 4),
    }


if __name__ == "__main__":
    main()
