"""Runs each measurement in a new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isotune.bench.setting import Setting
from isotune.distributed.launch import run_processes
from isotune.errors import IsotuneError
from isotune.plugins import plugins

LOOPS = Path("benchmarks", "native")
"""Folder of the hand-written loops in a checkout."""

STEP_FIGURES = ("first_step", "step_ms", "step_ms_iqr", "peak_memory_mib", "versions")
"""Figures of a hand-written loop that are stored; the others include paths of the machine."""

WORKERS = (0, 2)
"""Numbers of decoding processes to try in a hand-written loop: that of the tutorials, and two."""


def isotune_figures(kind: str, setting: Setting, data: Path | None = None) -> dict[str, Any]:
    """Measures Isotune; see :mod:`isotune.bench.measure` for the figures.

    Args:
        kind: ``step``, ``cached`` or ``data``.
        setting: the setting to measure.
        data: a dataset's folder.

    Raises:
        IsotuneError: the measurement failed.
    """
    arguments = ["-m", "isotune.bench.worker", kind, json.dumps(setting.as_json())]
    if setting.processes > 1:
        return shared_figures(setting, arguments)
    command = [sys.executable, *arguments]
    figures = last_object([*command, str(data)] if data else command)
    if "error" in figures:
        raise IsotuneError(str(figures["error"]))
    return figures


def shared_figures(setting: Setting, arguments: Sequence[str]) -> dict[str, Any]:
    """Measures Isotune in several processes on this machine.

    Args:
        setting: the setting to measure.
        arguments: those of ``python`` in each process.

    Raises:
        IsotuneError: the measurement failed.
    """
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as figures:
        try:
            run_processes(
                lambda logs: plugins.launch(setting.backend, setting.processes, arguments, logs),
                setting.processes,
                output=writing,
            )
        finally:
            os.close(writing)
        return dict(json.loads(figures.read()))


def inference_figures(setting: dict[str, Any]) -> dict[str, Any]:
    """Measures how fast a trained model predicts; see :mod:`isotune.bench.inference`.

    Args:
        setting: the fields of the setting to measure.

    Raises:
        IsotuneError: the measurement failed.
    """
    figures = last_object(
        [sys.executable, "-m", "isotune.bench.worker", "inference", json.dumps(setting)]
    )
    if "error" in figures:
        raise IsotuneError(str(figures["error"]))
    return figures


def native_loop(folder: Path, setting: Setting) -> Path | None:
    """Returns the hand-written loop for a setting, ``BACKEND_loop.py`` in `folder`, or None.

    There is none for what the tutorials lack: other precisions, compilation, cached features.
    """
    script = folder / f"{setting.backend}_loop.py"
    return script if setting.is_classic and script.is_file() else None


def native_figures(script: Path, setting: Setting, device: str) -> dict[str, Any]:
    """Measures a hand-written loop's training step.

    Args:
        script: the loop.
        setting: the setting to measure.
        device: the device that Isotune used.

    Raises:
        IsotuneError: the loop failed.
    """
    command = [sys.executable, str(script), "--part", "step", "--device", device]
    command += ["--model", setting.model, "--batch", str(setting.batch)]
    command += ["--size", str(setting.size), "--classes", str(setting.classes)]
    command += ["--steps", str(setting.steps)]
    if setting.mode == "frozen":
        command.append("--frozen")
    figures = last_object(command)
    return {
        "device": device,
        **{name: figures[name] for name in STEP_FIGURES},
        "images_per_second": 1e3 * setting.batch / figures["step_ms"],
    }


def native_data(script: Path, setting: Setting, data: Path) -> dict[str, Any]:
    """Measures a hand-written loop's data pipeline alone, over the training images.

    The result is that of the fastest of :data:`WORKERS`.

    Raises:
        IsotuneError: the loop failed.
    """
    command = [sys.executable, str(script), "--part", "data", "--data", str(data)]
    command += ["--batch", str(setting.batch), "--size", str(setting.size)]
    results = [(n, last_object([*command, "--workers", str(n)])) for n in WORKERS]
    workers, best = max(results, key=lambda result: result[1]["images_per_second"]["train"])
    return {
        "workers": workers,
        "images_per_second": {"first": best["images_per_second"]["train"]},
        "peak_memory_mib": best["peak_memory_mib"],
    }


def last_object(command: Sequence[str]) -> dict[str, Any]:
    """Runs a command and returns the JSON object in the last line of its output.

    Raises:
        IsotuneError: the command failed, or its last line is not a JSON object.
    """
    done = subprocess.run(list(command), capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    try:
        if done.returncode == 0:
            return dict(json.loads(lines[-1]))
    except (IndexError, ValueError, TypeError):
        pass
    output = (done.stderr.strip() or done.stdout.strip()).splitlines()
    raise IsotuneError(
        f"a measurement failed: `{' '.join(command[1:4])} ...` ended with {done.returncode}:"
        f" {output[-1] if output else 'it printed nothing'}"
    )


def checkout_loops() -> Path | None:
    """Returns the folder of hand-written loops if Isotune runs from a checkout, else None."""
    folder = Path(__file__).resolve().parents[3] / LOOPS
    return folder if folder.is_dir() else None
