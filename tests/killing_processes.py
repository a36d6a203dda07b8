"""Kills one of the processes of a run at drawn moments, resumes it, and compares the outcome.

    python tests/killing_processes.py --backend torch --kills 50

A run begins with two processes (``isotune run SPEC --processes 2``). Each time one of them, drawn
at random, sends itself SIGKILL at a drawn moment: those of tests/moments.py, and every message
between the processes. It is resumed with 1, 2 or 4 processes, every third time on the other
backend. What was saved must still be there, the survivors must end with a sentence, and the whole
run must come to the bytes of an undisturbed one; or, if another backend took part, to within 1e-3
of its values.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

sys.path.append(str(Path(__file__).parents[1] / "examples" / "numpy_backend"))  # pytest's path

from crossing import difference, last_weights
from isotune.distributed.group import Group
from isotune.plugins import plugins
from killing import ContractNets, demanding_experiment
from moments import PHASES, Fatal, Moments
from outcomes import TIMES, is_finished, outcome
from tiny import make_images

OTHER = {"torch": "mindspore", "mindspore": "torch"}
LIMIT = 300
"""Seconds after which the processes of a run must have ended."""

CUSTOM = "from killing_processes import enter\n\nenter()\n"
"""A module that Python imports in every process before anything else."""


class GroupMoments(Moments):
    """Counts messages between processes as moments, too, and writes every moment to a file.

    Args:
        told: Path of that file. Another one beside it, with the suffix ``.died``, receives the
            moment of death.
    """

    def __init__(self, folder: Path, home: Path, fatal: Fatal | None, told: Path) -> None:
        self._log = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        died = os.open(told.with_suffix(".died"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        messages = Group._messages

        def watched(group: Group, data: bytes, failed: bool) -> Any:
            self._passes("message begins")
            received = messages(group, data, failed)
            self._passes("message ends")
            return received

        Group._messages = watched  # type: ignore[method-assign]
        super().__init__(folder, home, fatal, died)

    def _passes(self, moment: str, at_death: Callable[[], object] = lambda: None) -> None:
        before = len(self.passed)
        super()._passes(moment, at_death)
        for each in self.passed[before:]:
            os.write(self._log, f"{each}\n".encode())


def enter() -> None:
    """Prepares a process of a run to die, as the environment says."""
    plan = json.loads(os.environ["KILLING"])
    plugins.register(ContractNets(), "nets")
    rank = rank_of(plan["processes"])
    if rank is not None:
        fatal = Fatal(*plan["fatal"]) if rank == plan["victim"] else None
        told = Path(plan["told"], str(rank))
        plan["moments"] = GroupMoments(Path(plan["folder"]), Path(plan["home"]), fatal, told)


def rank_of(processes: int) -> int | None:
    """Returns the number of this process of the run; None for a parent, launcher or scheduler."""
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        return int(environment["RANK"])
    if environment.get("MS_ROLE") == "MS_WORKER":
        return int(environment["MS_NODE_ID"])
    return 0 if processes == 1 and sys.argv[0] == "-m" else None


@dataclass
class Life:
    """What became of the processes that ran or resumed a run once.

    Attributes:
        died: The moment of death, None without one.
        moments: The moments that each process passed.
        code: Exit code of the command.
        printed: Its output.
        seconds: From the death to the end of the command.
    """

    died: str | None
    moments: list[list[str]]
    code: int
    printed: str
    seconds: float


@dataclass
class Killer:
    """Runs an experiment in processes of which one dies.

    Attributes:
        root: A new folder.
        spec: The spec's file.
        kills: Deaths so far by moment.
        waits: Seconds from a death to the end of the survivors.
    """

    root: Path
    spec: Path
    kills: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)

    def live(
        self, folder: Path, backend: str, processes: int, victim: int = -1, fatal: Any = None
    ) -> Life:
        """Runs or resumes a run once.

        Raises:
            AssertionError: The processes failed, or survivors said nothing, or work was lost.
        """
        told = self.root / "told"
        shutil.rmtree(told, ignore_errors=True)
        told.mkdir()
        begun = (folder / "spec.yaml").exists()
        what = ["resume", str(folder)] if begun else ["run", str(self.spec), "-o", str(folder)]
        command = [sys.executable, "-m", "isotune", *what, "--backend", backend, "-d", "cpu"]
        home = folder.with_name(f"{folder.name}-home")
        plan = {"folder": str(folder), "home": str(home), "processes": processes}
        plan |= {"told": str(told), "victim": victim, "fatal": fatal}
        path = [str(self.root), str(Path(__file__).parent), *filter(None, sys.path)]
        environment = {**os.environ, "ISOTUNE_HOME": str(home), "KILLING": json.dumps(plan)}
        before = saved_steps(folder)
        process = subprocess.Popen(
            [*command, "--processes", str(processes)],
            env={**environment, "PYTHONPATH": os.pathsep.join(path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=LIMIT)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        life = read_life(told, processes, process.returncode, printed)
        self._check(life, folder, processes, before)
        return life

    def _check(self, life: Life, folder: Path, processes: int, before: int) -> None:
        if life.died is None:
            assert life.code == 0, life.printed
            return
        self.kills[life.died] += 1
        assert life.code, "one of the processes was killed, and the command says all is well"
        saves = sum(moment == "save: ends" for moment in life.moments[0])
        assert saved_steps(folder) >= before + saves, f"lost steps: {life}"
        if processes > 1:
            assert "Traceback" not in life.printed, life.printed
            assert "isotune resume" in life.printed or not folder.exists(), life.printed
            self.waits.append(life.seconds)


def read_life(told: Path, processes: int, code: int, printed: str) -> Life:
    """Reads what the processes of a run have told about themselves."""
    ended, death, died, moments = time.time(), 0.0, "", []
    for rank in range(processes):
        log, fatal = told / str(rank), told / f"{rank}.died"
        moments.append(log.read_text().splitlines() if log.exists() else [])
        if fatal.exists() and fatal.stat().st_size:
            died, death = fatal.read_text(), fatal.stat().st_mtime
    return Life(died or None, moments, code, printed, ended - death)


def saved_steps(folder: Path) -> int:
    """Returns the number of training steps before the newest checkpoint."""
    index = folder / "checkpoints" / "index.json"
    if not index.exists():
        return 0
    newest = json.loads(index.read_text("utf-8"))["kept"][-1]
    manifest = folder / "checkpoints" / newest / "checkpoint.json"
    return int(json.loads(manifest.read_text("utf-8"))["step"])


def check(killer: Killer, backend: str, kills: int, at_a_time: int, rng: random.Random) -> None:
    """Kills until so many processes have died.

    Raises:
        AssertionError: See :class:`Killer`; or a run came to something else.
    """
    whole = killer.root / "whole"
    numbers = [
        Counter(moment.partition(":")[0] for moment in moments)
        for moments in killer.live(whole, backend, 2).moments
    ]
    runs = crossed = 0
    while killer.kills.total() < kills:
        folder, name, processes, lives = killer.root / f"killed-{runs}", backend, 2, 0
        names = {backend}
        while lives < at_a_time and killer.kills.total() < kills:
            victim = rng.randrange(processes)
            own = numbers[min(victim, 1)]
            phases = [phase for phase in PHASES if own[phase]]
            phase = phases[killer.kills.total() % len(phases)]
            share = 1 if phase in ("start", "end") else at_a_time
            fatal = Fatal(phase, rng.randint(1, max(1, own[phase] // share)))
            if killer.live(folder, name, processes, victim, fatal).died is None:
                break
            lives += 1
            if is_finished(folder):
                break
            processes = rng.choice((1, 2, 4))
            name = OTHER[backend] if killer.kills.total() % 3 == 0 else backend
            names.add(name)
        if not is_finished(folder):
            killer.live(folder, name, processes)
        compare(folder, whole, same_bytes=names == {backend})
        crossed += len(names) > 1
        runs += 1
        print(f"{killer.kills.total()} kills, {runs} runs, {crossed} on both backends", flush=True)
        shutil.rmtree(folder)
    told = ", ".join(f"{moment} {count}" for moment, count in sorted(killer.kills.items()))
    print(told)
    print(
        f"from a death to the end of the command: {statistics.median(killer.waits):.1f} s, at most"
        f" {max(killer.waits):.1f} s"
    )


def compare(folder: Path, whole: Path, same_bytes: bool) -> None:
    """Compares a run that was killed with an undisturbed one.

    Raises:
        AssertionError: They differ, by more than 1e-3 where another backend took part.
    """
    if same_bytes:
        assert outcome(folder) == outcome(whole), folder
        return
    found = difference(last_weights(folder), last_weights(whole))
    assert found < 1e-3, f"{folder}: weights differ by {found:.1e}"
    for line, expected in zip(metrics(folder), metrics(whole), strict=True):
        for key, value in expected.items():
            assert abs(line[key] - value) <= 1e-3 * max(1.0, abs(value)), (key, line, expected)


def metrics(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if key not in TIMES}
        for line in lines
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", choices=OTHER, required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--at-a-time", type=int, default=6, help="kills of one run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        images = make_images(root / "images", train=8, val=2, size=40)
        changes = {"batch_size": 8, "shards": 4, "accumulate": 2, "epochs": 4}
        spec = demanding_experiment(images, "tiny_bn", **changes)
        (root / "spec.yaml").write_text(yaml.safe_dump(spec))
        (root / "sitecustomize.py").write_text(CUSTOM)
        killer = Killer(root, root / "spec.yaml")
        check(
            killer, options.backend, options.kills, options.at_a_time, random.Random(options.seed)
        )


if __name__ == "__main__":
    main()
