"""What a stranger may do to a run folder."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

Mutation = Callable[[random.Random, Path, Path], object]
"""Changes a run folder, given also a folder outside that is not to be touched."""

JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, 1.5, 10**18, 10**400, 1e308, -1e308),
    *(float("nan"), float("inf"), "", "x", "3", "a" * 5000, "\x1b[2J\x07", "\u202eabc", "\ud800"),
    *("../../outside", "/etc/passwd", "epoch-0001", "epoch-9999", "epoch-0001\n", "nan", "torch:x"),
    *([], [[]], [None], [1], [True], ["a", "a"], [{}], {}, {"": None}, {"epoch": 1}),
)

TEXTS = (
    *(b"", b"null", b"[]", b"{}", b"0", b'"text"', b"\xff\xfe\x00", b"\xef\xbb\xbf{}"),
    *(b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000, b"NaN", b"{} {}", b"\n\n", b"- " * 30_000),
    *(b'{"format": 3}', b'{"format": 2}', b"<html>", b"version https://git-lfs", b"a: &a [*a]"),
)

MANIFEST = "checkpoint.json"


def flip(rng: random.Random, run: Path, outside: Path) -> None:
    """Changes, adds or cuts off bytes of a file."""
    path = rng.choice(files(run))
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 4)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    cut = rng.randrange(len(data) + 1) if rng.random() < 0.2 else len(data)
    path.write_bytes(bytes(data[:cut]) + rng.choice([b"", b"", rng.randbytes(9)]))


def replace_text(rng: random.Random, run: Path, outside: Path) -> None:
    """Replaces the whole content of a file."""
    rng.choice(files(run)).write_bytes(rng.choice(TEXTS))


def forge_json(rng: random.Random, run: Path, outside: Path) -> None:
    """Changes values in a file of JSON; a manifest gets the right hash."""
    manifests = sorted(run.glob(f"checkpoints/*/{MANIFEST}"))
    path = rng.choice([*manifests, run / "checkpoints/index.json", run / "summary.json"])
    plain = read_json(path)
    if plain is not None:
        swap(rng, plain)
        write_json(path, plain)


def forge_lines(rng: random.Random, run: Path, outside: Path) -> None:
    """Changes values in a file of lines of JSON."""
    path = run / rng.choice(["metrics.jsonl", "metrics.jsonl", "images.jsonl"])
    try:
        lines = (
            [json.loads(line) for line in path.read_bytes().splitlines()] if is_own(path) else []
        )
    except (ValueError, RecursionError):
        return
    if lines:
        swap(rng, rng.choice([lines, rng.choice(lines)]))
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def forge_spec(rng: random.Random, run: Path, outside: Path) -> None:
    """Changes values of the spec, except those that only cost time."""
    path = run / "spec.yaml"
    if not is_own(path):
        return
    try:
        spec = yaml.safe_load(path.read_text("utf-8"))
        swap(rng, rng.choice([spec, spec["dataset"], spec["backbone"], spec["head"], spec["loss"]]))
        path.write_text(yaml.safe_dump(spec))
    except (ValueError, yaml.YAMLError, LookupError, TypeError, RecursionError):
        return


def forge_tensors(rng: random.Random, run: Path, outside: Path) -> None:
    """Changes the tensors of a checkpoint, and all hashes and shapes with them."""
    paths = [path for path in files(run) if path.suffix == ".safetensors"]
    if not paths:
        return
    path = rng.choice(paths)
    try:
        state = load_file(path)
    except SafetensorError:
        return
    names = sorted(state)
    name = rng.choice(names) if names else "fc.weight"
    value = state.get(name, np.zeros(3, np.float32))
    changes: tuple[Callable[[], object], ...] = (
        lambda: state.pop(name, None),
        lambda: state.update({f"{name}2": value}),
        lambda: state.update({"": value}),
        lambda: state.update({f"{name}/step": value}),
        lambda: state.update({"\x1b[2J": value}),
        lambda: state.update({name: value[..., None]}),
        lambda: state.update({name: value.reshape(-1)}),
        lambda: state.update({name: np.atleast_1d(value)[:1]}),
        lambda: state.update({name: np.atleast_1d(value)[:0]}),
        lambda: state.update({name: value.astype(rng.choice(["f2", "f8", "i8", "u1", "?"]))}),
        lambda: state.update({name: np.full_like(value, rng.choice([np.nan, np.inf, -1, 1e30]))}),
        lambda: state.clear(),
    )
    rng.choice(changes)()
    save_file({key: np.asarray(value, order="C") for key, value in state.items()}, path)

    manifest = read_json(path.with_name(MANIFEST))
    try:
        manifest["sha256"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        manifest["tensors"][path.name] = {key: list(v.shape) for key, v in state.items()}
    except (LookupError, TypeError):
        return
    write_json(path.with_name(MANIFEST), manifest)


def put_other_kind(rng: random.Random, run: Path, outside: Path) -> None:
    """Replaces a file or folder by something that is none, by a huge one, or by nothing."""
    path = rng.choice([path for path in sorted(run.rglob("*")) if not path.is_symlink()])
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    target = rng.choice(sorted(outside.rglob("*")))
    places: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: path.mkdir(),
        lambda: path.touch(),
        lambda: os.mkfifo(path),
        lambda: path.symlink_to(target),
        lambda: path.symlink_to(outside),
        lambda: path.symlink_to(outside / "run" / path.relative_to(run)),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to("/dev/stdin"),
        lambda: path.symlink_to(path.name),
        lambda: path.symlink_to(outside / "new"),
        lambda: path.hardlink_to(outside / "lock"),
        lambda: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40),
    )
    rng.choice(places)()


def rename(rng: random.Random, run: Path, outside: Path) -> None:
    """Gives a file or folder another name."""
    path = rng.choice(sorted(run.rglob("*")))
    others = [entry.name for entry in sorted(run.rglob("*"))]
    name = rng.choice([*others, "epoch-0009", "step-00000009", "\x1b[2J", ".epoch-0001.7"])
    target = path.with_name(name)
    if not os.path.lexists(target) and os.path.lexists(path):
        path.rename(target)


def add(rng: random.Random, run: Path, outside: Path) -> None:
    """Adds entries whose names Isotune uses itself."""
    names = (
        *("checkpoints/epoch-0009", "checkpoints/.epoch-0001.77", "checkpoints/x", "figures"),
        *("checkpoints/.index.json.7.abcdef", ".spec.yaml.7.abcdef", ".best.pth.7.abcdef", "x\x07"),
    )
    path = run / rng.choice(names)
    if os.path.lexists(path) or not path.parent.is_dir():
        return
    kind = rng.randrange(4)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.write_bytes(rng.choice(TEXTS))
    else:
        path.symlink_to(rng.choice([outside, outside / "lock", outside / "epoch-0001"]))


MUTATIONS: tuple[Mutation, ...] = (
    *(flip, replace_text, forge_json, forge_json, forge_json, forge_lines, forge_spec),
    *(forge_tensors, forge_tensors, put_other_kind, put_other_kind, rename, add),
)


def files(run: Path) -> list[Path]:
    """Returns the files of a run folder that may be changed."""
    return [path for path in sorted(run.rglob("*")) if is_own(path)] or [run / "new"]


def is_own(path: Path) -> bool:
    """Whether this is a small regular file, and nothing that an earlier change put there."""
    if path.is_symlink() or not path.is_file():
        return False
    status = path.stat()
    return status.st_nlink == 1 and status.st_size < 1 << 20


def swap(rng: random.Random, plain: Any) -> None:
    """Changes one value somewhere in plain data."""
    while isinstance(plain, (dict, list)) and plain:
        key = rng.choice(list(plain)) if isinstance(plain, dict) else rng.randrange(len(plain))
        if isinstance(plain[key], (dict, list)) and plain[key] and rng.random() < 0.7:
            plain = plain[key]
            continue
        action = rng.random()
        if action < 0.15:
            del plain[key]
        elif action < 0.25 and isinstance(plain, list):
            plain.append(plain[key])
        elif action < 0.3 and isinstance(plain, dict):
            plain[str(rng.choice(JUNK))[:100]] = plain.pop(key)
        else:
            plain[key] = copy.deepcopy(rng.choice(JUNK))
        return


def read_json(path: Path) -> Any:
    """Returns plain data, or None where there is no file of JSON any more."""
    try:
        return json.loads(path.read_bytes()) if is_own(path) else None
    except (ValueError, RecursionError):
        return None


def write_json(path: Path, plain: Any) -> None:
    """Writes a file of JSON, a manifest with the right hash."""
    try:
        if path.name == MANIFEST:
            others = {key: value for key, value in plain["sha256"].items() if key != MANIFEST}
            text = json.dumps({**plain, "sha256": others})
            plain["sha256"][MANIFEST] = hashlib.sha256(text.encode()).hexdigest()
    except (LookupError, TypeError, AttributeError):
        pass  # without a place for it
    path.write_text(json.dumps(plain))
