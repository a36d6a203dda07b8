from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from isotune.data.download import ensure_dataset
from isotune.errors import DatasetError


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return file.getvalue()


ARCHIVE = zipped("bees/train/a/1.jpg", "bees/val/a/2.jpg", "__MACOSX/bees/._1.jpg")


class Site:
    """A web site of some files.

    Attributes:
        files: content by path; only the first half is sent of what is in `cut`.
        together: when set, answers wait until that many are asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/bees.zip": ARCHIVE}
        self.cut: set[str] = set()
        self.requests = 0
        self.together: threading.Barrier | None = None
        self.url = ""


@pytest.fixture
def site() -> Iterator[Site]:
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests += 1
            if state.together:
                state.together.wait(10)
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if self.path in state.cut else content)

        def log_message(self, *_: object) -> None:
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


WHOLE = ["bees", *(f"bees/{name}" for name in ("train", "train/a", "train/a/1.jpg", "val"))]
WHOLE += ["bees/val/a", "bees/val/a/2.jpg"]


def test_an_archive_is_downloaded_once_and_its_only_folder_stripped(
    site: Site, tmp_path: Path
) -> None:
    target = tmp_path / "datasets" / "bees"
    prefix = hashlib.sha256(ARCHIVE).hexdigest()[:8]
    for _ in range(2):
        assert ensure_dataset(target, f"{site.url}/bees.zip", prefix) == target
    assert site.requests == 1
    assert tree(tmp_path / "datasets") == WHOLE


def test_an_archive_without_a_top_folder_is_taken_as_it_is(site: Site, tmp_path: Path) -> None:
    site.files["/flat.zip"] = zipped("train/a/1.jpg", "val/a/2.jpg")
    ensure_dataset(tmp_path / "datasets" / "bees", f"{site.url}/flat.zip")
    assert tree(tmp_path / "datasets") == WHOLE


def test_a_folder_that_is_there_needs_no_network(tmp_path: Path) -> None:
    assert ensure_dataset(tmp_path, "http://127.0.0.1:9/bees.zip") == tmp_path


def test_without_an_address_the_error_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"{tmp_path}/bees: .*dataset\.url"):
        ensure_dataset(tmp_path / "bees", None)


def test_what_fails_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    site.files["/cut.zip"] = ARCHIVE
    site.files["/page.zip"] = b"<html>not found</html>"
    site.files["/hostile.zip"] = zipped("../../evil")
    site.cut.add("/cut.zip")
    cases = {
        f"{site.url}/gone.zip": "404",
        f"{site.url}/cut.zip": "cannot be downloaded",
        f"{site.url}/page.zip": "neither a zip nor a tar",
        f"{site.url}/hostile.zip": "outside",
        "http://127.0.0.1:9/bees.zip": "cannot be downloaded",
        "ftp://127.0.0.1/bees.zip": "http://",
    }
    for url, complaint in cases.items():
        with pytest.raises(DatasetError, match=complaint) as error:
            ensure_dataset(tmp_path / "datasets" / "bees", url)
        assert url in str(error.value)
    assert tree(tmp_path) == ["datasets"]


@pytest.mark.parametrize("sha256", ["0" * 64, "0" * 8, "abc", "no digits"])
def test_another_hash_is_refused(sha256: str, site: Site, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=sha256):
        ensure_dataset(tmp_path / "datasets" / "bees", f"{site.url}/bees.zip", sha256)
    assert tree(tmp_path) == ["datasets"]


def test_runs_at_once_do_not_spoil_each_other(site: Site, tmp_path: Path) -> None:
    site.together = threading.Barrier(4)
    target = tmp_path / "datasets" / "bees"
    with ThreadPoolExecutor(4) as executor:
        found = [executor.submit(ensure_dataset, target, f"{site.url}/bees.zip") for _ in range(4)]
        assert [future.result() for future in found] == [target] * 4
    assert site.requests == 4
    assert tree(tmp_path / "datasets") == WHOLE


def test_a_home_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="ISOTUNE_HOME"):
        ensure_dataset(tmp_path / "file" / "bees", "http://127.0.0.1:9/bees.zip")
    assert tree(tmp_path) == ["file"]
