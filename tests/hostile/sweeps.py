"""Mutated search spaces, and files of a sweep that a stranger made."""

from __future__ import annotations

import copy
import io
import json
import random
from pathlib import Path
from typing import Any

import yaml

from hostile.harness import Attack, Suite
from hostile.run_mutations import TEXTS
from hostile.specs import RICH, mutate
from isotune.experiment.show_sweep import show_sweep
from isotune.reports.sweep import counts, trials_table, write_trials_csv
from isotune.runs.sweep import SweepFolder
from isotune.spec.document import read_document
from isotune.spec.load import read_spec
from isotune.spec.space.check import open_space

SPACE = """
optimizer.lr: {low: 1e-4, high: 0.1, log: true}
batch_size: {low: 4, high: 16, step: 4}
loss.label_smoothing: [0, 0.1]
head:
  - linear
  - {name: mlp, hidden: {choices: [[4], [8, 4]]}, dropout: {low: 0, high: 0.5}}
"""


def spaces(place: Path) -> Attack:
    draft, space = read_spec(yaml.safe_load(RICH)), read_document(SPACE, "space").data

    def attack(rng: random.Random, folder: Path) -> None:
        mutated = copy.deepcopy(space)
        mutate(mutated, rng)
        opened, _ = open_space(mutated, draft)
        for _ in range(5):
            picked = opened.pick(lambda parameter: rng.choice(parameter.domain.ends()))
            opened.spec(draft, picked)

    return attack


def sweeps(place: Path) -> Attack:
    trials = [
        {
            "number": number, "state": state, "value": 0.5 + number / 100, "epoch": 2,
            "epochs": 3, "seconds": 1.5, "reason": None,
            "parameters": {"optimizer.lr": 0.001 + number / 1000, "head": "linear"},
        }
        for number, state in enumerate(["complete"] * 11 + ["pruned", "failed", "running"])
    ]  # fmt: skip
    files: dict[str, Any] = {
        "trials.json": {"monitor": "val_accuracy", "trials": trials},
        "sweep.json": {
            "format": 1, "backend": "numpy", "study": "s", "database": None,
            "monitor": "val_accuracy", "sampler": "tpe", "pruner": "none", "seed": 0,
            "spec": yaml.safe_load(RICH), "space": read_document(SPACE, "space").data,
        },
    }  # fmt: skip

    def attack(rng: random.Random, folder: Path) -> None:
        mutated = copy.deepcopy(files)
        name = rng.choice(list(files))
        mutate(mutated[name], rng)
        for each, content in mutated.items():
            (folder / each).write_text(json.dumps(content))
        if rng.random() < 0.2:
            (folder / name).write_bytes(rng.choice(TEXTS))
        opened = SweepFolder(folder)
        monitor, found = opened.description().monitor, opened.trials()
        trials_table(monitor, found).plain()
        write_trials_csv(io.StringIO(), monitor, found)
        assert counts(found).isprintable()
        if rng.random() < 0.1:  # drawing takes a while
            show_sweep(folder)

    return attack


SUITES = (Suite("spaces", 5_000, spaces), Suite("sweeps", 1_000, sweeps))
