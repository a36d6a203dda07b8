from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from gpu_trace import overlap


def event(name: str, start: int, end: int, stream: int, cat: str = "kernel") -> dict[str, Any]:
    return {
        "name": name, "cat": cat, "ts": start, "dur": end - start, "args": {"stream": stream},
    }  # fmt: skip


def test_copies_overlap_with_kernels_of_other_streams_alone() -> None:
    pinned, pageable = "Memcpy HtoD (Pinned -> Device)", "Memcpy HtoD (Pageable -> Device)"
    events = [
        event("conv", 0, 4000, 7),
        event("relu", 3000, 5000, 7),
        event("normalize", 5000, 9000, 20),
        event("conv", 10_000, 12_000, 7),
        event(pinned, 2000, 6000, 20, "gpu_memcpy"),
        event(pageable, 11_000, 14_000, 7, "gpu_memcpy"),
        {"name": "cudaStreamSynchronize", "cat": "cuda_runtime", "ts": 1, "dur": 2},
        {"name": "process_name", "ph": "M"},
    ]
    assert overlap(events) == {
        "copies": 7, "pinned": 4, "beside_kernels": 3, "idle": 1, "waits": 1,
    }  # fmt: skip
    assert overlap([]) == {"copies": 0, "pinned": 0, "beside_kernels": 0, "idle": 0, "waits": 0}
