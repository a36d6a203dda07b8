"""What averages of the weights cost in a training step: pairs of groups of steps, in turn.

    python benchmarks/averages.py --backend torch --model resnet18 --batch 8

Two trainers of the same model in one process, one of which keeps averages, make a group of steps
each, in alternating order. ``--clock cpu`` counts the process's time on all cores, which other
processes on the machine disturb less. The last column is what an evaluation takes in addition, to
exchange weights and averages before it and after it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

from isotune.bench.measure import device_batch
from isotune.bench.setting import Setting
from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import resolve
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.trainer import StepPlan, Trainer
from isotune.models.build import build_model
from isotune.plugins import plugins
from isotune.spec.load import load_spec
from isotune.training.plan import plan_with


def trainers(setting: Setting) -> tuple[list[Trainer], DeviceBatch, str]:
    """Returns a trainer without and one with averages, a batch and the device."""
    loaded = load_spec(setting.experiment())
    entry = chosen_backbone(loaded.backbone, setting.backend, plugins)
    spec = resolve(loaded, entry)
    backend = plugins.open_backend(setting.backend, setting.device)
    made = []
    for averages in (False, True):
        model = build_model(spec, entry, backend, setting.classes)
        plan = replace(plan_with(spec, entry, None), averages=averages)
        made.append(backend.trainer(model, plan))
    return made, device_batch(setting, spec, backend), backend.device


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def seconds(trainer: Trainer, batch: DeviceBatch, steps: int, clock: str) -> float:
    """Returns the seconds per step of a group."""
    now = CLOCKS[clock]
    begin = now()
    plan = StepPlan(0, 1e-4, average_decay=0.999)
    trainer.fetch([trainer.train_step(batch, plan) for _ in range(steps)])
    return (now() - begin) / steps


def exchange(trainer: Trainer, batch: DeviceBatch, clock: str) -> float:
    """Returns the seconds of exchanging weights and averages twice."""
    now, outputs = CLOCKS[clock], [trainer.eval_step(batch)]
    trainer.fetch(outputs)
    begin = now()
    trainer.swap_average()
    trainer.swap_average()
    trainer.fetch(outputs)  # waits for the device
    return now() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--group", type=int, default=2, help="steps")
    options = parser.parse_args()
    names = ("backend", "device", "model", "batch", "size", "precision")
    both, batch, device = trainers(Setting(**{name: getattr(options, name) for name in names}))
    for trainer in both:
        seconds(trainer, batch, options.group, options.clock)  # compiles
        trainer.fetch([trainer.eval_step(batch)])
        seconds(trainer, batch, options.group, options.clock)
    pairs = []
    for number in range(options.pairs):
        order = (0, 1) if number % 2 else (1, 0)
        took = {which: seconds(both[which], batch, options.group, options.clock) for which in order}
        pairs.append((took[0], took[1]))
    plain, averaged = (statistics.median(each) * 1e3 for each in zip(*pairs, strict=True))
    ratio = statistics.median(second / first for first, second in pairs)
    swap = statistics.median(exchange(both[1], batch, options.clock) for _ in range(5)) * 1e3
    print(
        "| backend | device | model | batch | ms a step | with averages | ratio | exchanges, ms |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {options.backend} | {device} | {options.model} | {options.batch} at {options.size}"
        f" | {plain:.1f} | {averaged:.1f} | {ratio:.3f} | {swap:.0f} |"
    )


if __name__ == "__main__":
    main()
