"""Times training steps beside busy processes, by how long waiting threads of OpenMP spin.

    python benchmarks/waiting.py

Each measurement is a new process with two threads. `--rounds` of all take turns; results are in
results/waiting.json and results/waiting.md. For a machine with two CPUs or more, otherwise idle.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pairs import RESULTS, Record, installed_versions
from processes import run

from isotune.bench.results import machine
from isotune.equivalence.machine import describe_machine
from isotune.reports.numbers import number
from isotune.reports.tables import Table
from isotune.storage.atomic import write_atomically
from isotune.storage.openmp import CHOICES

SETTINGS = {
    "GNU OpenMP's default": {"GOMP_SPINCOUNT": "300000"},
    "Isotune's default": {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
}
"""What is set in the environment; Isotune sets its own where nothing is."""

BUSY = (0, 1, 2)
STEPS = {0: 12, 1: 4, 2: 3}
"""Number of steps, by the number of busy processes: beside two, one may take ten seconds."""

THREADS = 2


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keeps `count` processes busy, on the same CPUs."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def measured(options: argparse.Namespace, steps: int, environment: dict[str, str]) -> Record:
    """Returns milliseconds of a training step, and CPU seconds of the process."""
    setting = {
        "backend": options.backend, "device": "cpu", "model": options.model,
        "batch": options.batch, "steps": steps,
    }  # fmt: skip
    command = [sys.executable, "-m", "isotune.bench.worker", "step", json.dumps(setting)]
    ended = run(command, {"OMP_NUM_THREADS": str(THREADS), **environment})
    figures = json.loads(ended.last_line)
    if "error" in figures:
        raise SystemExit(figures["error"])
    return {"step_ms": figures["step_ms"], "cpu": ended.cpu}


def one_round(options: argparse.Namespace, result: Record, turn: int) -> None:
    """Adds one measurement of everything; every other round goes backwards."""
    names = list(SETTINGS)[:: 1 if turn % 2 == 0 else -1]
    for count in BUSY:
        with busy(count):
            for name in names:
                figures = measured(options, STEPS[count], SETTINGS[name])
                result["rows"].append({"busy": count, "setting": name, **figures})
                print(f"{count} busy, {name}: {figures['step_ms']:,.0f} ms", flush=True)


def render(result: Record) -> str:
    """Returns the page."""
    table = Table(["", *(f"beside {count} busy processes, ms" for count in BUSY)])
    for name in SETTINGS:
        cells = []
        for count in BUSY:
            values = [
                row["step_ms"]
                for row in result["rows"]
                if (row["busy"], row["setting"]) == (count, name)
            ]
            cells.append(
                f"{number(statistics.median(values), 0)}"
                f" ({number(min(values), 0)} to {number(max(values), 0)})"
            )
        table.add(name, *cells)
    versions = ", ".join(f"{name} {each}" for name, each in result["versions"].items())
    return (
        "# Waiting threads\n\nMade by `python benchmarks/waiting.py`. A training step of"
        f" {result['model']}, batch {result['batch']}, 224 px, {THREADS} threads on two CPUs,"
        f" {result['backend']}; medians of {result['rounds']} processes each, and the smallest and"
        f" the largest. Measured on {machine(result)}, with {versions}.\n\n{table.markdown()}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="torch", choices=("torch", "mindspore"))
    parser.add_argument("--model", default="mobilenet_v2")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    for name in CHOICES:
        os.environ.pop(name, None)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    result: Record = {
        **{name: value for name, value in vars(options).items() if name != "results"},
        "machine": describe_machine(),
        "versions": installed_versions(),
        "load": os.getloadavg(),
        "rows": [],
    }
    for turn in range(options.rounds):
        one_round(options, result, turn)
    stem = "waiting" if options.backend == "torch" else f"waiting-{options.backend}"
    write_atomically(options.results / f"{stem}.json", json.dumps(result, indent=1) + "\n")
    (options.results / f"{stem}.md").write_text(render(result), "utf-8")
    print(render(result))


if __name__ == "__main__":
    main()
