from __future__ import annotations

import logging
import os
import pickle
import signal
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from isotune.data.batches import Batches
from isotune.data.caches.pixels import PixelStore
from isotune.data.decode import DAMAGED
from isotune.data.decoders import pool, process, wire
from isotune.data.decoders.pool import DecodingProcess, DecodingProcesses
from isotune.data.decoders.process import Opener
from isotune.data.decoders.wire import Job
from isotune.data.integrity.broken import BrokenImageError
from isotune.data.reader import ImageReader
from isotune.data.sources.folder import FolderSource
from isotune.data.sources.subset import Subset
from isotune.data.transforms.color_jitter import ColorJitterSpec
from isotune.data.transforms.flip import RandomHorizontalFlipSpec
from isotune.data.transforms.random_crop import RandomCropSpec
from isotune.data.transforms.random_resized_crop import RandomResizedCropSpec
from isotune.data.transforms.resize import ResizeSpec

pytestmark = pytest.mark.skipif(not pool.SUPPORTED, reason="threads decode on this system")

RANDOM = (RandomResizedCropSpec(size=(6, 8)), RandomHorizontalFlipSpec(), ColorJitterSpec(hue=0.2))


class Counted(DecodingProcesses):
    """Counts images that a process made, and those that it did not."""

    made = left = 0

    def image(
        self, opener: Opener, job: bytes, position: tuple[int, int, int]
    ) -> NDArray[np.uint8] | None:
        pixels = super().image(opener, job, position)
        self.made += pixels is not None
        self.left += pixels is None
        return pixels


@pytest.fixture(scope="module")
def started() -> Iterator[Counted]:
    processes = Counted(os.getpid())
    processes.want(1)
    processes.start()
    yield processes
    processes.close()


@pytest.fixture
def processes(started: Counted) -> Counted:
    started.made = started.left = 0
    return started


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FolderSource:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(8):
        path = folder / "train" / "ab"[number % 2] / f"{number}.{('jpg', 'png')[number // 6]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (12 + number, 19 - number, 3)
        exif = Image.Exif()
        exif[0x0112] = number + 1
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(path, exif=exif)
    return FolderSource(folder, "train")


def read(reader: ImageReader, count: int = 8) -> list[Any]:
    return [reader.image(2, index, index % 3).tolist() for index in range(count)]


def test_a_process_makes_the_bytes_that_a_thread_makes(
    source: FolderSource, processes: Counted
) -> None:
    alone = ImageReader(source, RANDOM, seed=2**64 - 1)
    assert read(replace(alone, processes=processes)) == read(alone)
    other = ImageReader(Subset(source, [5, 2, 0]), (ResizeSpec(size=7),), seed=1)
    assert read(replace(other, processes=processes), 3) == read(other, 3)
    assert (processes.made, processes.left) == (11, 0)


def test_an_image_stays_what_it_is_when_the_next_one_is_made(
    source: FolderSource, processes: Counted
) -> None:
    reader = ImageReader(source, RANDOM, seed=1, processes=processes)
    first = reader.image(0, 0)
    before = first.tolist()
    reader.image(0, 1)
    assert first.tolist() == before


def test_batches_are_the_same(
    source: FolderSource, processes: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def epochs() -> list[Any]:
        batches = Batches(source, RANDOM, 3, seed=1, workers=5, sampler="balanced")
        return [batch.images.tolist() for epoch in (0, 1) for batch in batches.epoch(epoch)]

    expected = epochs()
    assert not processes.made, "eight images are not worth a process"
    monkeypatch.setattr(pool, "IMAGES", 8)
    monkeypatch.setattr(pool, "processes_of", lambda owner: processes)
    monkeypatch.setattr(processes, "want", lambda count: None)
    assert epochs() == expected
    assert processes.made


def test_images_that_are_cached_stay_here(source: FolderSource, processes: Counted) -> None:
    alone = ImageReader(source, (ResizeSpec(size=9), *RANDOM), seed=1)
    room = PixelStore(8, 1 << 20, 0)
    assert read(replace(alone, store=room, processes=processes)) == read(alone)
    assert (processes.made, processes.left) == (0, 0)
    full = PixelStore(8, 9 * 9 * 3 * 2, 0)
    reader = replace(alone, store=full, processes=processes)
    assert read(reader) == read(alone)
    cached = sum(full.get(index) is not None for index in range(8))
    assert 0 < cached < 8
    assert full.full and processes.made > 0
    before = processes.made
    assert read(reader) == read(alone)
    assert processes.made - before == 8 - cached


def folder_of(path: Path, content: bytes) -> FolderSource:
    for name in ("a", "b"):
        (path / "train" / name).mkdir(parents=True)
        (path / "train" / name / "x.jpg").write_bytes(content)
    return FolderSource(path, "train")


def encoded(**options: Any) -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").resize((40, 30)).save(file, "JPEG", **options)
    return file.getvalue()


def opened(content: bytes) -> Opener:
    return lambda: BytesIO(content)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff nothing", encoded()[:-200]])
def test_a_broken_image_is_an_error_of_the_thread(
    tmp_path: Path, processes: Counted, content: bytes
) -> None:
    alone = ImageReader(folder_of(tmp_path, content), RANDOM, seed=1)
    with pytest.raises(BrokenImageError) as expected:
        alone.image(0, 0)
    with pytest.raises(BrokenImageError) as found:
        replace(alone, processes=processes).image(0, 0)
    assert str(found.value) == str(expected.value)
    assert processes.left == 1


def test_a_damaged_exif_block_is_logged_here_and_each_time_left_to_the_thread(
    tmp_path: Path, processes: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    reader = ImageReader(folder_of(tmp_path, encoded(exif=b"Exif\0\0MM\0*")), RANDOM, seed=1)
    reader = replace(reader, processes=processes)
    DAMAGED.clear()
    with caplog.at_level(logging.WARNING):
        read(reader, 2)
        read(reader, 2)
    assert [record.message.count("EXIF") for record in caplog.records] == [1, 1]
    assert (processes.made, processes.left) == (0, 4)


def test_large_images_and_what_cannot_be_sent_stay_here(
    tmp_path: Path, source: FolderSource, processes: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = pickle.dumps(Job(RANDOM, 1, 100))
    assert processes.image(opened(encoded()), job, (0, 0, 0)) is None, "more than 100 pixels"
    job = pickle.dumps(Job((RandomCropSpec(size=3000, pad_if_needed=True),), 1, 10**9))
    assert processes.image(opened(encoded()), job, (0, 0, 0)) is None, "a result of 27 MB"
    assert processes.image(opened(bytes(wire.FILE_BYTES)), job, (0, 0, 0)) is None

    class Local(ResizeSpec):
        """Cannot be pickled."""

    alone = ImageReader(source, (Local(size=7),), seed=1)
    assert read(replace(alone, processes=processes)) == read(alone)
    assert processes.made == 0


def test_a_job_that_cannot_be_loaded_never_leaves_the_one_before_it(processes: Counted) -> None:
    good = pickle.dumps(Job(RANDOM, 1, 10**6))
    assert processes.image(opened(encoded()), good, (0, 0, 0)) is not None
    bad = good[:-5]
    read = 0

    def counted() -> BytesIO:
        nonlocal read
        read += 1
        return BytesIO(encoded())

    for _ in range(process.FAILURES + 4):
        assert processes.image(counted, bad, (0, 0, 0)) is None
    assert read == process.FAILURES, "after so many, a job is not tried again"
    assert processes.image(opened(encoded()), good, (0, 0, 0)) is not None


def test_a_process_that_is_killed_is_not_missed(
    source: FolderSource, caplog: pytest.LogCaptureFixture
) -> None:
    processes = Counted(os.getpid())
    processes.want(1)
    processes.start()
    (child,) = processes.processes
    os.kill(child.pid, signal.SIGKILL)
    child._process.wait()
    alone = ImageReader(source, RANDOM, seed=3)
    assert read(replace(alone, processes=processes)) == read(alone)
    assert (processes.made, processes.left) == (0, 8)
    assert [r.message.partition(";")[0] for r in caplog.records] == [
        "a process that decodes images has ended"
    ]


@pytest.mark.parametrize("fault", ["ends", "never starts"])
def test_where_processes_cannot_be_started_threads_decode(
    source: FolderSource,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    def fail() -> DecodingProcess:
        raise OSError(11, "Resource temporarily unavailable")

    processes = Counted(os.getpid())
    processes.want(2)
    if fault == "never starts":
        monkeypatch.setattr(pool, "DecodingProcess", fail)
        expected = "cannot be started: Resource temporarily unavailable"
    else:
        monkeypatch.setattr(process, "START", "pass")
        with pytest.raises(EOFError):
            processes.start()
        expected = "has ended"
    alone = ImageReader(source, RANDOM, seed=3)
    assert read(replace(alone, processes=processes)) == read(alone)
    processes.want(16)
    assert read(replace(alone, processes=processes)) == read(alone)
    assert processes.made == 0
    assert [r.message for r in caplog.records][-1] == (
        f"a process that decodes images {expected}; the others and threads go on."
    )
    assert len(caplog.records) <= 2, "one for each process that was started"
    processes.close()


def test_a_process_ends_when_its_parent_does() -> None:
    child = DecodingProcess()
    assert child.ready(wait=True)
    child.ask_to_end()  # what the system does with the pipes of a process that was killed
    assert child._process.wait(60) == 0


def test_a_forked_process_leaves_those_of_its_parent_alone(processes: Counted) -> None:
    other = Counted(os.getpid() + 1)
    other._all = processes.processes
    other.close()
    job = pickle.dumps(Job(RANDOM, 1, 10**6))
    assert processes.image(opened(encoded()), job, (0, 0, 0)) is not None


def test_nothing_is_started_unless_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = []
    monkeypatch.setattr(DecodingProcesses, "want", lambda self, count: wanted.append(count))
    assert pool.shared_processes(pool.THREADS, 10**9) is None
    assert pool.shared_processes(16, pool.IMAGES - 1) is None
    assert pool.shared_processes(16, pool.IMAGES) is not None
    monkeypatch.setattr(pool, "SUPPORTED", False)
    assert pool.shared_processes(16, 10**9) is None
    assert wanted == [16]
