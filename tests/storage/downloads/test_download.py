from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from isotune.storage.downloads import download as downloading
from isotune.storage.downloads.download import download
from isotune.storage.downloads.errors import DownloadError
from isotune.storage.downloads.part import Part
from isotune.storage.downloads.remote import Remote
from web import Site, served

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(downloading, "PAUSES", (0.0, 0.0, 0.0))
    with served() as site:
        site.files["/file"] = CONTENT
        yield site


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "file"


def remote(site: Site, sha256: str | None = None, path: str = "/file") -> Remote:
    return Remote(f"{site.url}{path}", sha256, max_size=100_000)


def fetched(site: Site, target: Path, sha256: str | None = None) -> None:
    """Downloads, and leaves nothing but the file."""
    download(remote(site, sha256), target)
    assert target.read_bytes() == site.files["/file"]
    assert list(target.parent.iterdir()) == [target]


def failed(site: Site, target: Path, sha256: str | None = None) -> str:
    """Downloads in vain, and returns why."""
    with pytest.raises(DownloadError) as error:
        download(remote(site, sha256), target)
    assert not target.exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize("sha256", [None, SHA256, SHA256[:8]])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_arrives_once(site: Site, target: Path, sha256: str | None, chunked: bool) -> None:
    site.chunked = chunked
    for _ in range(2):
        fetched(site, target, sha256)
    assert site.asked() == [None]


@pytest.mark.parametrize("etag", ['"one"', None])
def test_after_a_break_only_the_rest_is_asked_for(
    site: Site, target: Path, etag: str | None
) -> None:
    site.etag, site.cuts = etag, [100, 200]
    fetched(site, target, SHA256)
    assert site.asked() == [None, "bytes=100-", "bytes=300-"]
    assert [headers.get("if-range") for headers in site.requests] == [None, etag, etag]


def test_any_number_of_breaks_is_borne_while_enough_arrives(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "PROGRESS", 100)
    site.etag, site.cuts = '"one"', [100] * 20
    fetched(site, target)
    assert len(site.requests) == 21
    target.unlink()
    site.cuts = [99] * 20
    assert "after 396 of 10240 bytes, and 4 tries in a row" in failed(site, target)


@pytest.mark.parametrize(("etag", "sha256"), [('"one"', None), (None, SHA256)])
def test_another_run_resumes_what_is_left(
    site: Site, target: Path, etag: str | None, sha256: str | None
) -> None:
    site.etag, site.cuts = etag, [100, 0, 0, 0]
    message = failed(site, target, sha256)
    assert f"after 100 of {len(CONTENT)} bytes" in message
    assert left(target) == [".file.part", ".file.part.json"]
    site.requests.clear()
    fetched(site, target, sha256)
    assert site.asked() == ["bytes=100-"]


def test_what_nothing_can_check_is_neither_kept_nor_resumed(site: Site, target: Path) -> None:
    site.cuts = [100, 200, 0, 0, 0]
    failed(site, target)
    assert set(site.asked()) == {None}
    assert left(target) == []


@pytest.mark.parametrize("etag", ['"one"', None])
def test_a_server_without_ranges_sends_all_again(
    site: Site, target: Path, etag: str | None
) -> None:
    site.etag, site.ranges, site.cuts = etag, False, [100, 50]
    fetched(site, target, SHA256)
    assert len(site.requests) == 3


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("grown", [True, False])
def test_a_file_that_changed_starts_anew(
    site: Site, target: Path, if_range: bool, grown: bool
) -> None:
    site.etag, site.if_range, site.cuts = '"one"', if_range, [100, 0, 0, 0]
    failed(site, target)
    site.etag = '"two"'
    site.files["/file"] = CONTENT[::-1] + b"more" * grown
    fetched(site, target)


def test_a_file_that_became_shorter_than_what_is_there_starts_anew(
    site: Site, target: Path
) -> None:
    site.etag, site.if_range, site.cuts = '"one"', False, [1000, 0, 0, 0]
    failed(site, target)
    site.etag, site.files["/file"] = '"two"', b"short"
    fetched(site, target)


def test_pieces_that_do_not_belong_together_start_anew(site: Site, target: Path) -> None:
    site.files["/file"], site.cuts = CONTENT[::-1], [100, 0, 0, 0]
    failed(site, target, SHA256)
    site.files["/file"] = CONTENT  # and no ETag tells
    fetched(site, target, SHA256)
    assert site.asked()[-2:] == ["bytes=100-", None]


def test_a_wrong_file_is_refused_and_not_kept(site: Site, target: Path) -> None:
    site.etag = '"one"'
    assert failed(site, target, "00000000") == (
        f"its SHA-256 is {SHA256}, but should begin with 00000000"
    )
    assert left(target) == []
    assert len(site.requests) == 1


def test_a_whole_part_of_a_killed_run_needs_no_network(site: Site, target: Path) -> None:
    site.etag, site.cuts = '"one"', [100, 0, 0, 0]
    failed(site, target)
    (target.parent / ".file.part").write_bytes(CONTENT)
    site.requests.clear()
    fetched(site, target, SHA256)
    assert site.requests == []


def test_a_part_of_another_address_is_not_taken(site: Site, target: Path) -> None:
    site.etag, site.cuts = '"one"', [100, 0, 0, 0]
    failed(site, target)
    site.files["/other"] = b"x" * 200
    download(remote(site, path="/other"), target)
    assert target.read_bytes() == b"x" * 200


@pytest.mark.parametrize("content", ["", "[]", "{}", "nonsense"])
def test_a_damaged_note_about_a_part_starts_anew(site: Site, target: Path, content: str) -> None:
    site.etag, site.cuts = '"one"', [100, 0, 0, 0]
    failed(site, target)
    (target.parent / ".file.part.json").write_text(content)
    fetched(site, target)


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(site: Site, target: Path) -> None:
    site.statuses = [503, 429]
    fetched(site, target)
    target.unlink()
    site.requests.clear()
    site.statuses = [403]
    assert failed(site, target) == "the server answers 403"
    assert len(site.requests) == 1
    site.statuses = [503] * 9
    assert failed(site, target) == "the server answers 503, and 4 tries in a row got no further"


def test_without_a_length_only_a_hash_tells_that_all_arrived(site: Site, target: Path) -> None:
    site.length = False
    assert "does not send its length" in failed(site, target)
    fetched(site, target, SHA256)


def test_chunks_that_end_early_are_a_break(site: Site, target: Path) -> None:
    site.chunked, site.cuts = True, [100, 100, 100, 100]
    assert "broke after 100 bytes" in failed(site, target)


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    for url in ("ftp://127.0.0.1/x", "file:///etc/passwd", "127.0.0.1"):
        with pytest.raises(DownloadError, match="an address begins with http"):
            download(Remote(url, None, 1000), tmp_path / "file")
    hosts = [
        "",
        "[x",
        "a..b",
        "1" * 5000,
        "*",
        "\x1b[31m",
        "127.0.0.1:x",
        "127.0.0.1:99999",
        "\udcff",
    ]
    for host in hosts:
        with pytest.raises(DownloadError, match="it is not a valid address"):
            download(Remote(f"http://{host}/x", None, 1000), tmp_path / "file")
    with pytest.raises(DownloadError, match="cannot be reached"):
        download(Remote("http://127.0.0.1:9/x", None, 1000), tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(site: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(target.parent.parent)._replace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        assert f"{len(CONTENT)} bytes do not fit on the disk" in failed(site, target)

    class Full(io.FileIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Part, "append", lambda part: Full(part.path, "a"))
    assert "No space left on device" in failed(site, target)
    assert left(target) == []


def test_a_folder_that_cannot_be_written_is_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "ISOTUNE_HOME" in failed(site, tmp_path / "file" / "x")


def test_what_happens_is_one_line_where_there_is_no_terminal(
    site: Site,
    target: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site.etag, site.cuts = '"one"', [100, 100]
    with caplog.at_level(logging.INFO, "isotune.storage.downloads"):
        fetched(site, target)
    assert [record.getMessage() for record in caplog.records] == [
        f"downloading {site.url}/file (0.0 MB)"
    ]
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_a_bar_on_standard_error(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    site.etag, site.cuts = '"one"', [100]
    fetched(site, target)
    assert "10.2/10.2 kB" in shown.getvalue()


PROGRAM = """
import sys
from pathlib import Path
from isotune.storage.downloads.download import download
from isotune.storage.downloads.part import Part
from isotune.storage.downloads.remote import Remote
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
download(Remote(sys.argv[1], None, 100_000), Path(sys.argv[2]))
"""


def start(site: Site, target: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, f"{site.url}/file", str(target)],
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass
class Gate:
    """Holds up the site's answers until it is opened, and tells when the first is asked for."""

    asked: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        self.asked.set()
        self.opened.wait()

    def wait_for_one_of(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        """Returns at the first request, and fails if no process is left that could make it."""
        while not self.asked.wait(0.1):
            assert any(process.poll() is None for process in processes)


@pytest.fixture
def gate(site: Site) -> Iterator[Gate]:
    site.hook = gate = Gate()
    try:
        yield gate
    finally:
        gate.opened.set()  # else the site would wait for its answers when it is closed


def last_words(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    for line in process.stderr or ():
        lines.put(line)
    lines.put("")


def test_of_several_processes_one_downloads_and_the_others_wait(
    site: Site, target: Path, gate: Gate
) -> None:
    processes = [start(site, target) for _ in range(3)]
    lines: queue.Queue[str] = queue.Queue()
    threads = [threading.Thread(target=last_words, args=(each, lines)) for each in processes]
    for thread in threads:
        thread.start()
    gate.wait_for_one_of(processes)
    waiting = 0
    while waiting < 2:
        line = lines.get()
        assert line, "a process has ended"
        waiting += "waiting for it" in line
    gate.opened.set()
    assert [process.wait() for process in processes] == [0, 0, 0]
    for thread in threads:
        thread.join()
    assert len(site.requests) == 1
    assert target.read_bytes() == CONTENT
    assert left(target) == ["file"]


def test_a_killed_owner_holds_nobody_up(site: Site, target: Path, gate: Gate) -> None:
    owner = start(site, target)
    gate.wait_for_one_of([owner])
    assert left(target) == [".file.lock"]
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    gate.opened.set()
    fetched(site, target)
