"""Loads `isotune serve`, and the same model in a plain script, with many clients at once.

python benchmarks/load.py --run RUN --images DIR --minutes 9

RUN is a MobileNetV2 of the torch backend, DIR a folder of JPEG images. Pairs take turns and are
kept as those of targets.py.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from load_clients import Seen, call_all, calls, spread
from pairs import Deadline, Part, Record, forget, measure

import isotune

ROUNDS = 3
BROKEN_EVERY = 10
RATIOS = ("p50_ms", "p90_ms", "p99_ms", "images_per_second", "cpu_ms", "peak_mib")

SCRIPT = Path(__file__).resolve().parent / "native" / "torch_service.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="run folder of the torch backend")
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEG images")
    parser.add_argument("--requests", type=int, default=1000, help="number of requests a round")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = [_part(engine, arguments, Path(folder)) for engine in ("torch", "onnx")]
        for part in parts if arguments.fresh else ():
            forget(part)
        measure(parts, arguments.pairs, Deadline(arguments.minutes))


def _part(engine: str, arguments: argparse.Namespace, folder: Path) -> Part:
    run = isotune.open_run(arguments.run)
    weights, model = folder / "model.pth", arguments.run
    isotune.convert(arguments.run, weights, overwrite=True)
    if engine == "onnx":
        model = folder / "model.onnx"
        isotune.export(run, model)
    images = [path.read_bytes() for path in sorted(arguments.images.rglob("*.jpg"))]
    made = calls(images, arguments.requests, BROKEN_EVERY)
    script = [sys.executable, str(SCRIPT), str(weights), ",".join(run.classes)]
    served = [sys.executable, "-m", "isotune", "serve", str(model), "--no-page", "--port"]
    load = partial(_load, made=made, clients=arguments.clients)
    return Part(
        name=f"serve-{engine}-mobilenet_v2",
        title=f"isotune serve with {engine}: {arguments.requests} requests of"
        f" {arguments.clients} clients, {ROUNDS} rounds",
        settings={
            "requests": arguments.requests,
            "clients": arguments.clients,
            "rounds": ROUNDS,
            "images": len(images),
            "broken_every": BROKEN_EVERY,
            "engine": engine,
        },
        first=lambda _: load(script, read=lambda answer: answer["results"][0]),
        second=lambda _: load(served, read=_probabilities),
        ratios=dict.fromkeys(RATIOS, None),
        names=("script", "isotune"),
    )


def _probabilities(answer: Any) -> dict[str, float]:
    [result] = answer["results"]
    return {each["class"]: each["probability"] for each in result["predictions"]}


def _load(
    command: list[str], made: Any, clients: int, read: Callable[[Any], dict[str, float]]
) -> Record:
    with _serving(command) as (process, port):
        call_all(port, made[: 2 * clients], clients, read)  # threads and caches are made
        resident = [_status(process, "VmRSS")]
        begin = _cpu_seconds(process)
        rounds: list[Seen] = []
        for _ in range(ROUNDS):
            rounds.append(call_all(port, made, clients, read))
            resident.append(_status(process, "VmRSS"))
        peak, used = _status(process, "VmHWM"), _cpu_seconds(process) - begin
    last = rounds[-1]
    unexplained = [each for seen in rounds for each in seen.unexplained]
    return {
        **{f"p{share}_ms": round(last.percentile(share), 2) for share in (50, 90, 99)},
        "images_per_second": round(len(last.seconds) / last.wall, 2),
        "cpu_ms": round(1000 * used / sum(len(seen.seconds) for seen in rounds), 2),
        "resident_mib": resident,
        "peak_mib": peak,
        "largest_difference": spread(rounds),
        "without_a_sentence": len(unexplained),
        "examples": sorted(set(unexplained))[:3],
    }


@contextmanager
def _serving(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Starts a service, and waits until it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and not _listens(port):
            time.sleep(0.1)
        yield process, port
    finally:
        process.terminate()
        process.wait(60)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _status(process: subprocess.Popen[bytes], name: str) -> float:
    """Returns a figure of a Linux process in MiB."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", text)
    assert found, f"this system does not tell {name}"
    return round(int(found[1]) / 1024, 1)


def _cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Returns the time of processors that a Linux process has used (proc_pid_stat(5))."""
    values = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", os.pathsep.join(sys.path))
    main()
