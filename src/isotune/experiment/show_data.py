"""A figure of images as the network sees them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import resolve
from isotune.data.experiment_batches import evaluation_batches, training_batches
from isotune.data.images import open_part
from isotune.data.samplers import repeats
from isotune.errors import SpecError
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.reports.drawing import check_matplotlib
from isotune.reports.examples import evenly, listed, shared
from isotune.reports.grid import Tile, grid
from isotune.reports.numbers import count as counted
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import SpecSource, load_spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from isotune.data.batches import Batches
    from isotune.interfaces.dataset import ImageSource

Part = Literal["train", "val", "test"]


def show_data(
    spec: SpecSource,
    *,
    overrides: Iterable[str] = (),
    split: Part = "train",
    count: int = 16,
    seed: int | None = None,
    epoch: int = 1,
    plugins: Plugins = default_plugins,
) -> Figure:
    """Returns a figure of an experiment's images as the network sees them, with their classes.

    These are the pixels that training hands to a backend, which only normalizes them. Training
    images are the first of an epoch, in its order and with its augmentation, mixed as its batches
    are, and then with the share of each class; validation images are taken evenly, since they are
    ordered by class. No backend is needed.

    Args:
        spec: Path of a YAML file, name of a recipe, a mapping, or a spec.
        overrides: ``"optimizer.lr=0.01"``, as ``--set`` on the command line.
        split: ``train`` or ``val``: the spec's training or validation images; ``test`` where
            ``dataset.split`` keeps some for a test.
        count: Number of images, if there are as many.
        seed: Replaces the spec's seed.
        epoch: The epoch, from 1, whose order and augmentation is shown; validation images are
            the same in every epoch.
        plugins: Where backbones are found; a spec without transforms uses its backbone's.

    Raises:
        IsotuneError: matplotlib is not installed.
        SpecError: the spec is wrong.
        DatasetError: the images are missing or broken.
    """
    check_matplotlib()
    if epoch < 1 or count < 1:
        raise SpecError(f"epoch is {epoch} and count {count}, but both should be 1 at least.")
    loaded = load_spec(spec, [*overrides, *([] if seed is None else [f"seed={seed}"])])
    loaded = _with_transforms(loaded, plugins)
    source = open_part(loaded, split)
    if split == "train":
        batches = training_batches(source, loaded)
        count = min(count, batches.size)
        if loaded.mixing is not None:
            tiles = _mixed(source, batches, epoch - 1, count)
        else:
            tiles = _tiles(source, batches, epoch - 1, batches.order(epoch - 1)[:count])
        detail = f"epoch {epoch}, the first {count} of {counted(batches.size, 'image')}"
    else:
        batches = evaluation_batches(source, loaded, loaded.batch_size)
        indices = evenly(len(source), count)
        tiles = _tiles(source, batches, 0, np.array(indices))
        detail = f"{len(indices)} of {counted(len(source), 'image')}"
    height, width = tiles[0].image.shape[:2]
    name = getattr(loaded.dataset.splits, split, split)
    return grid(
        tiles,
        f"{loaded.name}: {name} as the network sees it",
        f"{detail}; {width} x {height} pixels, seed {loaded.seed}",
    )


def _with_transforms(spec: ExperimentSpec, plugins: Plugins) -> ExperimentSpec:
    if spec.transforms.train and spec.transforms.val:
        return spec
    return resolve(spec, chosen_backbone(spec.backbone, None, plugins))


def _mixed(source: ImageSource, batches: Batches, epoch: int, count: int) -> list[Tile]:
    """Returns the first images of an epoch whose batches are mixed."""
    tiles: list[Tile] = []
    drawn = batches.epoch(epoch)
    while len(tiles) < count:
        batch = next(drawn)
        titles = (shared(shares, source.classes) for shares in batch.labels)
        tiles += [Tile(*each) for each in zip(batch.images, titles, strict=True)]
    return tiles[:count]


def _tiles(
    source: ImageSource, batches: Batches, epoch: int, indices: NDArray[np.int64]
) -> list[Tile]:
    drawn = zip(indices.tolist(), repeats(indices).tolist(), strict=True)
    return [
        Tile(batches.image(epoch, index, earlier), listed(source.label_names(index)))
        for index, earlier in drawn
    ]
