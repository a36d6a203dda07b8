"""Requests that arrive together are computed together, and answered as `predict` does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import isotune
from isotune.errors import DatasetError, RunError
from isotune.experiment.classifier import Classifier
from isotune.experiment.result import Run
from isotune.interfaces.dataset import Batch
from isotune.serving.service import Service
from zoo import ALL


class Watched:
    """A classifier whose batches are counted, and which fails on images whose first level is 255.

    Args:
        run: What computes.
    """

    def __init__(self, run: Run, batch_size: int = 8) -> None:
        self.run = run
        self.batch_size = batch_size
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)

    def logits_by_batch(
        self, batches: Iterable[Batch], fetch_every: int = 1
    ) -> Iterator[NDArray[np.float32]]:
        for batch in batches:
            self.sizes.append(len(batch.images))
            if (batch.images[:, 0, 0] == 255).any():
                raise RunError("somewhere/run: the model's outputs are not finite: because.")
            yield from self.run.logits_by_batch([batch], fetch_every)


def served(classifier: Any, *requests: list[bytes], **settings: Any) -> list[Any]:
    """Returns the answers to requests that arrive together; an exception in place of its answer."""
    service = Service(classifier, **settings)

    async def everything() -> list[Any]:
        calls = map(service.predict, requests)
        return list(await asyncio.gather(*calls, return_exceptions=True))

    try:
        service.warm_up()
        return asyncio.run(everything())
    finally:
        service.close()


@pytest.mark.parametrize("backend", [*ALL, "onnx"])
def test_the_answers_are_those_of_predict_in_any_batch(
    backend: str,
    trained: Callable[[str], Run],
    photographs: list[bytes],
    request: pytest.FixtureRequest,
) -> None:
    run: Classifier
    if backend == "onnx":
        run = isotune.open_exported(request.getfixturevalue("exported"))
    else:
        run = trained(backend)
    expected = [dict(run.predict(image)) for image in photographs]
    one_by_one = [[image] for image in photographs]
    for requests in (one_by_one, [photographs], [photographs[:5], photographs[5:]]):
        answers = [each for answer in served(run, *requests) for each in answer]
        assert len(answers) == len(expected)
        for found, wanted in zip(answers, expected, strict=True):
            assert dict(found) == pytest.approx(wanted, abs=1e-6)


def test_requests_that_wait_are_computed_together(run: Run, photographs: list[bytes]) -> None:
    watched = Watched(run)
    served(watched, *([image] for image in photographs * 4))
    warm, sizes = watched.sizes[:4], watched.sizes[4:]
    assert warm == [8, 4, 2, 1], "every size is computed before the first request"
    assert sum(sizes) == 48
    assert set(sizes) <= {1, 2, 4, 8}
    assert len(sizes) < 24


def test_an_image_that_fails_the_model_fails_its_own_request_alone(
    run: Run, photographs: list[bytes], white: bytes
) -> None:
    first, failed, last = served(Watched(run), photographs[:3], [white], photographs[3:6])
    assert isinstance(failed, RunError)
    assert len(first) == len(last) == 3


def test_an_image_that_cannot_be_read_has_its_error_in_its_place(
    run: Run, photographs: list[bytes]
) -> None:
    [answer] = served(run, [photographs[0], b"no image", photographs[1]])
    assert [isinstance(each, DatasetError) for each in answer] == [False, True, False]
    assert str(answer[1]).startswith("images[1]: cannot be read as an image: ")


def test_the_services_own_limit_of_pixels_holds(run: Run, photographs: list[bytes]) -> None:
    [[error]] = served(run, photographs[:1], max_pixels=255)
    assert str(error) == (
        "images[0]: its 16 x 16 pixels are more than 255, the most that this service takes."
    )
    [[prediction]] = served(run, photographs[:1], max_pixels=256)
    assert len(prediction) == 3
