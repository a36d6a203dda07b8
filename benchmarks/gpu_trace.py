"""A profiler's trace of some steps, and how far its copies overlap with its kernels."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Interval = tuple[float, float]


def traced(steps: Callable[[], object], path: Path | None) -> list[dict[str, Any]]:
    """Returns the events of a trace of `steps`, which is also written to `path`."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        steps()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        written = path or Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(written))
        events: list[dict[str, Any]] = json.loads(written.read_text("utf-8"))["traceEvents"]
    return events


def overlap(events: list[dict[str, Any]]) -> dict[str, float]:
    """Returns figures of a trace in milliseconds.

    Returns:
        ``copies``: of host-to-device copies; ``pinned``: of those from pinned memory;
        ``beside_kernels``: of copies while a kernel of another stream ran; ``idle``: between the
        first and the last kernel without any; ``waits``: number of calls that wait for a stream or
        for the device, of which the last one is the profiler's own.
    """
    copies = [e for e in events if "Memcpy HtoD" in e.get("name", "")]
    kernels = [e for e in events if e.get("cat") == "kernel"]
    beside = 0.0
    for copy in copies:
        others = [_interval(k) for k in kernels if _stream(k) != _stream(copy)]
        beside += _within(_interval(copy), _union(others))
    busy = _union([_interval(kernel) for kernel in kernels])
    span = busy[-1][1] - busy[0][0] if busy else 0.0
    names = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
    return {
        "copies": _milliseconds(sum(copy["dur"] for copy in copies)),
        "pinned": _milliseconds(sum(c["dur"] for c in copies if "Pinned" in c["name"])),
        "beside_kernels": _milliseconds(beside),
        "idle": _milliseconds(span - sum(end - start for start, end in busy)),
        "waits": sum(event.get("name") in names for event in events),
    }


def _interval(event: dict[str, Any]) -> Interval:
    return event["ts"], event["ts"] + event["dur"]


def _stream(event: dict[str, Any]) -> object:
    return event.get("args", {}).get("stream")


def _union(intervals: list[Interval]) -> list[Interval]:
    """Returns the intervals' union, in order."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _within(interval: Interval, union: list[Interval]) -> float:
    start, end = interval
    return sum(max(0.0, min(end, last) - max(start, first)) for first, last in union)


def _milliseconds(microseconds: float) -> float:
    return round(microseconds / 1e3, 3)
