"""The batches of an experiment, in training and in evaluation."""

from __future__ import annotations

from isotune.data.batches import Batches
from isotune.data.caches.pixels import PixelCache
from isotune.data.integrity.broken import Skip
from isotune.data.workers import worker_count
from isotune.errors import SpecError
from isotune.interfaces.dataset import ImageSource
from isotune.spec.experiment import ExperimentSpec


def training_batches(
    source: ImageSource,
    spec: ExperimentSpec,
    store: PixelCache | None = None,
    skip: Skip | None = None,
    processes: int = 1,
) -> Batches:
    """Returns the training batches of `source`.

    Args:
        source: The images.
        spec: A resolved spec.
        store: Pixel cache between epochs.
        skip: As for :class:`Batches`.
        processes: Number of processes that share the machine's CPUs.

    Raises:
        SpecError: There is not a single batch.
    """
    assert spec.transforms.train is not None, "resolve() comes first"
    batches = Batches(
        source,
        spec.transforms.train,
        spec.batch_size,
        seed=spec.seed,
        workers=worker_count(spec.workers, processes),
        sampler=spec.sampler,
        drop_last=spec.drop_last,
        mixing=spec.mixing,
        store=store,
        skip=skip,
    )
    if not len(batches):
        raise SpecError(
            f"batch_size: is {spec.batch_size}, but there are only {len(source)} training"
            " images and drop_last leaves out a short batch."
        )
    return batches


def evaluation_batches(
    source: ImageSource,
    spec: ExperimentSpec,
    size: int,
    store: PixelCache | None = None,
    skip: Skip | None = None,
    processes: int = 1,
) -> Batches:
    """Returns the evaluation batches of `source`, in its order.

    There are as few as `size` allows, of sizes as equal as possible: 101 images come as 26, 26,
    26 and 23, not as 32, 32, 32 and 5. A backend that compiles a step for each batch size can then
    usually pad the last batch at little cost.

    Args:
        source: The images.
        spec: A resolved spec.
        size: Maximum number of images in a batch.
        store: Pixel cache between evaluations.
        skip: As for :class:`Batches`.
        processes: Number of processes that share the machine's CPUs.
    """
    assert spec.transforms.val is not None, "resolve() comes first"
    count = max(-(-len(source) // size), 1)
    return Batches(
        source,
        spec.transforms.val,
        max(-(-len(source) // count), 1),
        seed=spec.seed,
        workers=worker_count(spec.workers, processes),
        sampler=None,
        store=store,
        skip=skip,
    )
