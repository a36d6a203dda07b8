"""Images are opened while the backend is imported, and errors come in the same order as before."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import isotune
from isotune.errors import BackendError, DatasetError
from isotune.training.opening import FEW, open_both, opens_beside

BACKEND: Any = SimpleNamespace()
IMAGES: Any = SimpleNamespace()


def test_both_open_at_the_same_time():
    images_wait, backend_waits = threading.Event(), threading.Event()

    def backend() -> Any:
        backend_waits.set()
        assert images_wait.wait(60)
        return BACKEND

    def images(may_check: Any) -> Any:
        may_check(FEW)
        images_wait.set()
        assert backend_waits.wait(60)
        return IMAGES

    assert open_both(backend, images) == (BACKEND, IMAGES)


def test_many_images_are_checked_once_the_backend_is_open():
    order = []

    def images(may_check: Any) -> Any:
        may_check(FEW + 1)
        order.append("images")
        return IMAGES

    assert open_both(lambda: order.append("backend") or BACKEND, images) == (BACKEND, IMAGES)
    assert order == ["backend", "images"]


@pytest.mark.parametrize("number", [FEW, FEW + 1])
def test_the_error_of_the_backend_comes_first(number: int):
    raised: list[BaseException] = []

    def backend() -> Any:
        raise BackendError("no such device")

    def images(may_check: Any) -> Any:
        try:
            may_check(number)
            raise DatasetError("broken images")
        except BaseException as error:
            raised.append(error)
            raise

    with pytest.raises(BackendError, match="no such device"):
        open_both(backend, images)
    assert type(raised[0]) is (DatasetError if number == FEW else CancelledError)


def test_the_error_of_the_images_is_raised():
    def images(may_check: Any) -> Any:
        raise DatasetError("broken images")

    with pytest.raises(DatasetError, match="broken images"):
        open_both(lambda: BACKEND, images)


def test_what_may_take_long_or_is_not_ours_is_opened_by_itself(tmp_path: Path):
    def dataset(path: Path, **more: Any) -> Any:
        spec = {
            "name": "beside",
            "dataset": {"path": str(path), **more},
            "backbone": {"name": "lenet"},
            "batch_size": 2,
            "optimizer": {"name": "sgd", "lr": 0.1},
            "epochs": 1,
        }
        return isotune.load_spec(spec).dataset

    assert opens_beside(dataset(tmp_path))
    assert not opens_beside(dataset(tmp_path / "missing"))
    assert not opens_beside(dataset(tmp_path, split={"val": 0.2}))
    theirs = type("Theirs", (type(dataset(tmp_path)),), {"__module__": "theirs"})
    assert not opens_beside(theirs.model_validate(dataset(tmp_path).model_dump()))
