"""Every call survives the streams it is given: closed, full, or of a narrow encoding."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tiny import experiment, make_images

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs /dev/full and bytes as names"
)

PROGRAM = """
import numpy_backend.plugin
from isotune.plugins import plugins
plugins.register(numpy_backend.plugin, "numpy")
from isotune.cli import main
main()
"""


def call(
    arguments: str, redirect: str = "", stdout: int = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Calls the command line from a shell that redirects its streams."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    line = f'exec "$0" -c "$1" {arguments} {redirect}'
    command = ["sh", "-c", line, sys.executable, PROGRAM]
    pipe = subprocess.PIPE
    return subprocess.run(command, stdout=stdout, stderr=pipe, env=environment, check=False)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A spec's file, whose images have classes that few encodings have, or none at all."""
    images = make_images(tmp_path / "images")
    for split in ("train", "val"):
        cats, bees, _ = sorted((images / split).iterdir(), reverse=True)
        cats.rename(images / split / "蚂蚁\x1b[2J")
        bees.rename(images / split / os.fsdecode(b"=\xc3\xdb\xb7\xe4"))
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(experiment(images)))
    return path


def test_what_an_encoding_lacks_is_escaped(odd: Path) -> None:
    for encoding, arguments in (
        ("ascii", "run tiny.yaml -b numpy -o run"),
        ("cp1252", "evaluate run"),
        ("ascii", "predict run images/val --format csv"),
        ("cp1252", "predict run images/val --format csv"),
        ("ascii", "show confusion run"),
        ("cp1252", "show predictions run"),
    ):
        result = call(arguments, PYTHONIOENCODING=encoding)
        assert result.returncode == 0, result.stderr
        assert b"\x1b" not in result.stdout + result.stderr
        if not arguments.startswith("show"):
            assert rb"\u8682\u8681\x1b[2J" in result.stdout
            assert b"=\\xc3" in result.stdout
        if "csv" in arguments:
            assert b",'=\\xc3" in result.stdout


def test_closed_streams_take_nothing_from_a_run(odd: Path) -> None:
    result = call("run tiny.yaml -b numpy -o run", "<&- >&- 2>&-")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert len(Path("run/metrics.jsonl").read_text().splitlines()) == 2


def test_a_full_output_is_a_sentence(odd: Path) -> None:
    for arguments in ("run tiny.yaml -b numpy -o run", "schema", "--help"):
        result = call(arguments, "> /dev/full")
        assert result.returncode == 1
        sentence = b"isotune: standard output cannot be written: No space left on device.\n"
        assert result.stderr.startswith(sentence)
        assert b"Traceback" not in result.stderr
    assert call("evaluate nowhere", "2> /dev/full").returncode == 2


def test_a_reader_that_leaves_is_not_mentioned(odd: Path) -> None:
    assert call("run tiny.yaml -b numpy -o run", "> /dev/null").returncode == 0
    for arguments in ("predict run images/val --format csv", "schema"):
        reader, writer = os.pipe()
        os.close(reader)
        result = call(arguments, stdout=writer)
        os.close(writer)
        assert (result.returncode, result.stderr) == (1, b"")


def test_a_working_directory_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    shutil.rmtree(gone)
    result = call("evaluate run")
    assert result.returncode == 2
    assert b"the working directory is no longer there" in result.stderr


def test_python_runs_the_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "isotune", "recipes"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "ants-and-bees" in result.stdout
