"""Processes that a launcher starts: one progress, one sentence, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from isotune.distributed import launch as launching
from isotune.distributed.launch import run_processes
from isotune.errors import BackendError, IsotuneError, LostProcessError, SpecError, StoppedError
from isotune.interfaces.backend import Launch

PROCESS = """
import os, signal, sys, time
from isotune.distributed.parent import VARIABLE, reach_parent
from isotune.errors import LostProcessError, SpecError, StoppedError
from isotune.interfaces.communicator import Place

print("what native code prints")
rank, behavior = int(sys.argv[1]), sys.argv[2]
if rank == 0 and behavior == "stops":
    def stop(number, frame):
        parent.tell(130, StoppedError("stopped by " + signal.Signals(number).name))
        sys.exit(130)
    signal.signal(signal.SIGINT, stop)
if behavior == "ignores":
    signal.signal(signal.SIGINT, lambda *_: os.write(parent.streams[0], b"ignored\\n"))
open(os.path.join(sys.argv[3], str(os.getpid())), "w").close()
parent = reach_parent(Place(rank, 2))
assert VARIABLE not in os.environ
assert len(parent.streams) == (0 if rank else 2)
for stream in parent.streams[:1]:
    os.write(stream, b"epoch 1\\n")
if behavior == "ends":
    parent.tell(0)
elif behavior == "fails":
    parent.tell(2, SpecError("epochs: are \\x1b[31mred\\x1b[0m.", "x" * 5000))
    sys.exit(2)
elif behavior == "loses":
    parent.tell(1, LostProcessError("another process has ended"))
    sys.exit(1)
elif behavior == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif behavior == "lies":
    parent._connection.sendall(b'{"code": "0", "kind": 3}\\n[]\\n' + b"x" * 300_000)
else:
    time.sleep(60)
"""
"""A process that behaves as its argument says; without another word it hangs."""

LAUNCHER = """
import subprocess, sys
each = [subprocess.Popen([sys.executable, "-c", sys.argv[1], str(rank), behavior, sys.argv[2]],
        start_new_session=True) for rank, behavior in enumerate(sys.argv[3:])]
codes = [process.wait() for process in each]
print("the launcher's own words")
sys.exit(any(codes))
"""


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """A folder in which each process leaves its id; afterwards none of them is left."""
    folder = tmp_path / "pids"
    folder.mkdir()
    yield folder
    left = [each.name for each in folder.iterdir() if running(int(each.name))]
    assert not left, "a process is left behind"


def running(pid: int) -> bool:
    """Whether a process runs, other than one that has ended and is not waited for yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def processes(pids: Path, *behaviors: str, output: int | None = None) -> None:
    """Runs two processes with these behaviors."""

    def command(logs: Path) -> Launch:
        assert logs.is_dir()
        assert logs.parent.stat().st_mode & 0o77 == 0
        return Launch([sys.executable, "-c", LAUNCHER, PROCESS, str(pids), *behaviors])

    run_processes(command, 2, output=output)


def ended_with(pids: Path, *behaviors: str) -> IsotuneError:
    """Returns the error with which processes of these behaviors end."""
    with pytest.raises(IsotuneError) as caught:
        processes(pids, *behaviors)
    return caught.value


def test_processes_that_end_well_show_what_the_first_one_writes_and_nothing_else(
    pids: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    processes(pids, "ends", "ends", output=1)
    assert capfd.readouterr() == ("epoch 1\n", "")


def test_an_error_of_one_process_ends_the_others_that_hang(
    pids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "GRACE", 0.3)
    error = ended_with(pids, "hangs", "fails")
    assert isinstance(error, SpecError)
    first, second = str(error).split("\n")
    assert first == r"epochs: are \x1b[31mred\x1b[0m."
    assert len(second) < 500


def test_the_sentence_is_that_of_what_happened_and_not_of_those_who_missed_it(pids: Path) -> None:
    assert isinstance(ended_with(pids, "loses", "fails"), SpecError)
    lost = ended_with(pids, "loses", "killed")
    assert isinstance(lost, LostProcessError)
    assert str(lost) == "process 1 of 2 was killed, or it crashed."
    assert str(ended_with(pids, "killed", "loses")).startswith("process 0 of 2 was killed")


def test_what_a_process_says_is_not_trusted(pids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE", 0.3)
    assert str(ended_with(pids, "hangs", "lies")).startswith("process 1 of 2 was killed, or")


def test_a_launcher_that_fails_is_quoted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('first'); print('no port\\x1b[0m'); exit(3)"]
    with pytest.raises(BackendError) as caught:
        run_processes(lambda logs: Launch(command), 2)
    assert str(caught.value) == (
        "the processes did not start: their launcher ended with exit code 3: no port\\x1b[0m"
    )


def signalled(pids: Path, behaviors: Sequence[str], count: int) -> BaseException:
    """Returns how processes end when SIGINT comes so often, each after a word of process 0."""
    receiving, sending = os.pipe()
    handler = signal.getsignal(signal.SIGINT)

    def send() -> None:
        for _ in range(count):
            os.read(receiving, 100)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises((IsotuneError, KeyboardInterrupt)) as caught:
            processes(pids, *behaviors, output=sending)
    finally:
        os.close(sending)
        thread.join()
        os.close(receiving)
    assert signal.getsignal(signal.SIGINT) is handler
    return caught.value


def test_a_first_signal_asks_process_0_to_stop_and_a_second_ends_all(
    pids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "GRACE", 0.3)
    stopped = signalled(pids, ["stops", "hangs"], 1)
    assert isinstance(stopped, StoppedError)
    assert str(stopped) == "stopped by SIGINT"
    assert isinstance(signalled(pids, ["ignores", "ignores"], 2), KeyboardInterrupt)


def test_processes_stop_when_the_one_that_has_started_them_is_killed(pids: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from test_launch import processes\n"
        "processes(Path(sys.argv[2]), 'hangs', 'hangs', output=1)"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(pids)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()
    for _ in range(200):
        if not any(running(int(each.name)) for each in pids.iterdir()):
            break
        time.sleep(0.05)
