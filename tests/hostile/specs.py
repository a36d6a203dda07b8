"""Mutated experiment specs."""

from __future__ import annotations

import random
from pathlib import Path

from hostile.harness import Attack, Suite
from isotune.spec.load import load_spec


def prepare(folder: Path) -> Attack:
    del folder
    original = b"dataset: images\nbackbone: resnet18\nepochs: 3\n"

    def attack(rng: random.Random, folder: Path) -> None:
        text = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        path = folder / "spec.yaml"
        path.write_bytes(text)
        load_spec(path)

    return attack


SUITES = (Suite("specs", 20_000, prepare),)
