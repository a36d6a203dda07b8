"""What it costs to trace a training step: pairs of plain and traced steps, in turn.

    python benchmarks/traced_step.py --backend torch --model resnet50 --batch 8

Each side of a pair is a process of its own, which makes some steps on one batch, after two that
are not counted, and keeps its peak memory. Processor time is that of all threads; other processes
on the machine disturb it less than the clock's. After the traced steps, the step is recorded with
its yardsticks, and the trace's file is weighed. Every pair is added to
benchmarks/results/traced-step-BACKEND.json; the page traced-step.md is made of these files.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pairs import RESULTS, Deadline, Part, Record, forget, measure
from tables import part_table

from isotune.bench.memory import peak_memory_mib
from isotune.bench.results import machine
from isotune.bench.setting import Setting
from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import normalization, resolve
from isotune.equivalence.recording.live import LiveSide, Step
from isotune.equivalence.recording.steps import Recording, record_steps
from isotune.equivalence.recording.watching import Watching
from isotune.equivalence.traces.file import write_trace
from isotune.equivalence.traces.trace import Side, Trace
from isotune.interfaces.dataset import Batch
from isotune.interfaces.trainer import StepPlan
from isotune.models.build import build_model, freezing_plans
from isotune.plugins import plugins
from isotune.spec.load import dump_spec, load_spec
from isotune.training.plan import plan_with

WARM_UP = 2
"""Steps before the measured ones, in which frameworks compile and take memory."""

SIDES = ("plain", "traced")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=3, help="measured ones of each process")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--measure", choices=SIDES, help="for the processes that are measured")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options)), flush=True)
        return
    part = Part(
        f"traced-step-{options.backend}",
        f"{options.backend}, {options.model}, {options.batch} images of {options.size} pixels",
        {name: getattr(options, name) for name in ("device", "model", "batch", "size", "steps")},
        *(partial(start, side) for side in SIDES),
        ratios={"step_ms": None, "step_cpu_ms": None, "peak_mib": None},
        names=SIDES,
    )
    if options.fresh:
        forget(part, options.results)
    measure([part], options.pairs, Deadline(options.minutes), options.results)
    found = [
        json.loads(path.read_text("utf-8"))
        for path in sorted(options.results.glob("traced-step-*.json"))
    ]
    (options.results / "traced-step.md").write_text(page(found), "utf-8")


def start(side: str, number: int) -> Record:
    """Measures one side in a new process."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", side]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: Record = json.loads(done.stdout.splitlines()[-1])
    return figures


def measured(options: argparse.Namespace) -> Record:
    """Returns the figures of one side."""
    backend = plugins.open_backend(options.backend, options.device)
    with backend.isolated():
        live, step, experiment = prepared(options)
        make = partial(traced if options.measure == "traced" else LiveSide.train, live, step)
        for _ in range(WARM_UP):
            make()
        times = [timed(make) for _ in range(options.steps)]
        figures: Record = {
            "step_ms": statistics.median(wall for wall, _ in times) * 1e3,
            "step_cpu_ms": statistics.median(cpu for _, cpu in times) * 1e3,
            "peak_mib": peak_memory_mib(),
        }
        if options.measure == "traced":
            figures |= recorded(live, step, experiment)
    return figures


def timed(make: Callable[[], object]) -> tuple[float, float]:
    """Returns the seconds of the clock and of processors that a step takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    make()
    return time.perf_counter() - wall, time.process_time() - cpu


def prepared(options: argparse.Namespace) -> tuple[LiveSide, Step, dict[str, Any]]:
    """Returns a model in training, a step with random images, and the spec."""
    backend = plugins.open_backend(options.backend, options.device)
    setting = Setting(
        options.backend, options.device, options.model, options.batch, size=options.size
    )
    loaded = load_spec(setting.experiment())
    entry = chosen_backbone(loaded.backbone, backend.name, plugins)
    spec = resolve(loaded, entry)
    model = build_model(spec, entry, backend, setting.classes)
    plan = plan_with(spec, entry, None)
    live = LiveSide(backend, model, backend.trainer(model, plan), plan, normalization(spec))
    live.trainer.freeze(freezing_plans(spec, entry, backend.state_adapter.model_shapes(model))(1))
    shape = (options.batch, options.size, options.size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = (np.arange(options.batch) % setting.classes).astype(np.int32)
    return live, Step(Batch(images, labels), (StepPlan(0, 1e-3),)), dump_spec(spec)


def traced(live: LiveSide, step: Step) -> object:
    """Makes a step, and keeps samples and norms of all that it computes."""
    watching = Watching(sums=True)
    with live.tracer.watch(live.trainer, watching):
        live.train(step, watching.begin)
    return watching.steps[step.number].values(live.group)


def recorded(live: LiveSide, step: Step, experiment: dict[str, Any]) -> Record:
    """Returns the seconds that a trace of one step with its yardsticks takes, and its bytes."""
    begin = time.perf_counter()
    found = record_steps(live, [step], Recording(steps=1, drift=0, predictions=0))
    seconds = time.perf_counter() - begin
    name, device = live.backend.name, live.backend.device
    side = Side(name, device, "fp32", False, 1, live.backend.threads(), {}, {})
    trace = Trace(side, experiment, ("first", "second"), found.start, found.layers, found.steps)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "step.trace"
        write_trace(path, trace)
        size = path.stat().st_size
    values = len(found.steps[0].values)
    return {"record_s": seconds, "trace_mb": size / 1e6, "values": values}


def page(found: list[Record]) -> str:
    """Returns the page as Markdown."""
    parts = [
        "# What it costs to trace a training step",
        "Made by `benchmarks/traced_step.py`: SGD with momentum, fp32, random images. A traced step"
        " reports every layer's output, the outputs' gradients and the parameters' gradients, of"
        " which samples and norms are kept. Where other work shares the machine, processor time"
        " tells more than the clock.",
    ]
    for result in found:
        sides = [pair["traced"] for pair in result["pairs"]]
        seconds = statistics.median(side["record_s"] for side in sides)
        versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        parts += [
            f"## {result['title']}",
            part_table(result),
            f"The trace of one step has {sides[-1]['values']:,} values and"
            f" {sides[-1]['trace_mb']:,.1f} MB; with its yardsticks, without drift and predictions,"
            f" recording it takes {seconds:,.0f} s. {machine(result)}; {versions}.",
        ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
