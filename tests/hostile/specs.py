"""Mutated experiment specs: as files, as mappings, and by ``--set``."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import yaml

from hostile.harness import Attack, Suite
from isotune.spec import recipes
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec, load_spec

RICH = """
name: rich
dataset: {format: folder, path: images, splits: {train: a, val: b}, broken: skip}
transforms:
  train: [{random_resized_crop: {size: 32, scale: [0.5, 1.0]}}, random_horizontal_flip,
          {color_jitter: {brightness: 0.4, hue: 0.1}}, {rotation: 10},
          trivial_augment_wide, {rand_augment: {num_ops: 3, magnitude: 5}}]
  val: [{resize: [40, 40]}, {center_crop: 32}]
batch_size: 8
backbone: {name: resnet18, weights: none}
loss: {name: cross_entropy, label_smoothing: 0.1}
freeze: [backbone.layer1]
optimizer: {name: adamw, lr: 0.001, weight_decay: 0.01}
schedule: {name: multi_step, milestones: [2, 4], gamma: 0.5, warmup: {epochs: 1}}
epochs: 6
metrics: [macro_f1]
early_stopping: {patience: 2}
checkpoint: {every_steps: 5, keep: 2, monitor: val_loss, save_best_as: best.pth}
"""

TEXTS = (
    "", " ", "\x00", "\x1b[2J", "\x9b31m", "\u202e", "\u2028", "\udcff", "\ufeff", "é" * 300,
    "A" * 100_000, "9" * 5_000, "-" + "9" * 5_000, "1e999", "../../x", "/etc/passwd", "C:\\x",
    "~root", "a/b", ".", "..", "con", "=cmd|' /C calc'!A0", "${HOME}", "%s%n", "{0}", "[red]x",
    "http://user:secret@host/x", "file:///etc/passwd", "http://[::1", "http://\x00", "best.pth/..",
    "null", "true", "nan", "resnet18\n", "None", "a" * 256, "💥", "0x" + "f" * 4_000,
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**400), 1e308, -1e308, 1e-320, float("inf"),
    float("-inf"), float("nan"), 0.1, True, False, None,
)  # fmt: skip
SNIPPETS = (
    '"\\UFFFFFFFF"', '"\\uD800"', '"\\x9b"', "!!python/object/apply:os.system [true]", "!!binary x",
    "!!timestamp 9999-99-99", "!!set {a, b}", "!!omap [a: 1]", "!!float x", "!!int x", "!!bool x",
    "!!null x", "!!str [a]", "!!map [a]", "!!seq {a: b}", "!<x> y", "! x", "&a [*a]", "*a", "&a",
    "<<: *x", "<<: [a]", "? [a]", "? {a: b}", "? ", ": ", "- ", "--- ", "...", "%YAML 3.0\n---\n",
    "%TAG ! x\n", "\t", "\n", "{", "}", "[", "]", "'", '"', "|", ">", "#", "@", "`", ",", "\x00",
    "\x85", "\ufeff", "0o8", "0b2", "1_000_000", "1:2:3", "2024-02-31", "." * 50, "[" * 3_000,
    "{a: " * 3_000, "9" * 5_000, "a: &x [1]\nb: *x\n", "\\", "~", "=", ".inf", "-.inf", ".nan",
)  # fmt: skip


def laughs(levels: int) -> str:
    """Returns aliases of aliases: few lines, and ten to the power of `levels` values."""
    lines = ["a0: &a0 x"]
    for level in range(1, levels):
        aliases = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    return "\n".join(lines) + "\n"


def odd_value(rng: random.Random, depth: int = 0) -> Any:
    """Returns a value that hardly any field takes."""
    kind = rng.randrange(8)
    if kind < 3:
        return rng.choice(TEXTS)
    if kind < 6 or depth > 3:
        return rng.choice(NUMBERS)
    if kind == 6:
        return [odd_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = ("name", "size", "path", "0", "", "\x1b", *TEXTS[:6])
    return {rng.choice(keys): odd_value(rng, depth + 1) for _ in range(rng.randrange(3))}


def places(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Returns the path of every value inside mappings and lists."""
    if isinstance(data, dict):
        inside = list(data.items())
    else:
        inside = list(enumerate(data)) if isinstance(data, list) else []
    found = []
    for key, value in inside:
        found += [(*path, key), *places(value, (*path, key))]
    return found


def parent(data: Any, path: tuple[str | int, ...]) -> Any:
    """Returns what holds the value at `path`."""
    for key in path[:-1]:
        data = data[key]
    return data


def mutate(data: dict[str, Any], rng: random.Random) -> None:
    """Replaces, removes, renames, moves or adds values."""
    for _ in range(rng.randint(1, 3)):
        known = places(data)
        if not known:
            return
        path = rng.choice(known)
        holder, key = parent(data, path), path[-1]
        match rng.randrange(6):
            case 0 | 1:
                holder[key] = odd_value(rng)
            case 2:
                del holder[key]
            case 3 if isinstance(holder, dict):
                holder[rng.choice([f"{key}s", str(key)[:-1], *TEXTS])] = holder.pop(key)
            case 4:
                other = rng.choice(known)
                holder[key] = yaml.safe_load(yaml.safe_dump(parent(data, other)[other[-1]]))
            case _:
                holder[key] = [holder[key], odd_value(rng)]


def scramble(text: bytes, rng: random.Random) -> bytes:
    """Changes bytes, cuts, doubles parts, and inserts what YAML has a meaning for."""
    content = bytearray(text)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        end = min(start + rng.randrange(20), len(content))
        match rng.randrange(5):
            case 0:
                content[start:end] = bytes(rng.randrange(256) for _ in range(end - start))
            case 1:
                del content[start:end]
            case 2:
                content[start:start] = content[start:end]
            case _:
                content[start:start] = rng.choice(SNIPPETS).encode("utf-8", "surrogatepass")
    return bytes(content)


def check(spec: ExperimentSpec) -> None:
    """Checks that a spec that was taken is written as the same spec."""
    assert load_spec(dump_spec(spec)) == spec


def originals() -> list[str]:
    """Returns the texts that are mutated."""
    texts = [RICH, *map(recipes.text, recipes.names())]
    for text in texts:
        load_spec(yaml.safe_load(text))  # one that is refused would hide what its mutations do
    return texts


def prepare_files(folder: Path) -> Attack:
    """Returns the attack by files and mappings."""
    texts = originals()

    def attack(rng: random.Random, folder: Path) -> None:
        text = rng.choice(texts)
        if rng.random() < 0.5:
            data = yaml.safe_load(text)
            mutate(data, rng)
            if rng.random() < 0.3:
                if rng.random() < 0.1:  # Python refuses to write it out
                    data[rng.choice(list(data) or ["name"])] = 1 << 20_000
                check(load_spec(data))
                return
            text = yaml.safe_dump(data, allow_unicode=rng.random() < 0.5)
            content = text.encode("utf-8", "surrogatepass")
        else:
            content = scramble(text.encode(), rng)
        match rng.randrange(40):
            case 0:
                content = text.encode("utf-16", "surrogatepass")
            case 1:
                content += laughs(rng.randrange(2, 30)).encode()
        path = folder / "spec.yaml"
        path.write_bytes(content)
        check(load_spec(path))

    return attack


def prepare_overrides(folder: Path) -> Attack:
    """Returns the attack by ``--set``."""
    loaded = [yaml.safe_load(text) for text in originals()]
    keys = (
        "0",
        "-1",
        "00",
        "1_0",
        "٣",
        "²",
        "9" * 5_000,
        "",
        " ",
        "<<",
        "*",
        "\x1b",
        "name",
        "size",
    )

    def attack(rng: random.Random, folder: Path) -> None:
        data = rng.choice(loaded)
        overrides = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            path = [str(key) for key in rng.choice(places(data))]
            for _ in range(rng.choice((0, 0, 0, 1, 2))):
                path.insert(rng.randrange(len(path) + 1), rng.choice(keys))
            mild = ("1", "0.1", "true", "resnet18", "linear", "adam", "images", "[]", "{}", "null")
            value = rng.choice([*SNIPPETS, *TEXTS, *5 * mild, repr(odd_value(rng))])
            overrides.append(f"{'.'.join(path)}{rng.choice(['=', '=', '=', '', ' = '])}{value}")
        check(load_spec(data, overrides))

    return attack


SUITES = (Suite("specs", 20_000, prepare_files), Suite("overrides", 5_000, prepare_overrides))
