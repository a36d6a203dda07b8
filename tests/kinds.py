"""A plugin with transforms, a dataset format and a schedule of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from isotune import hookimpl
from isotune.errors import DatasetError
from isotune.interfaces.dataset import DatasetFormat, ImageSource
from isotune.spec.schedule import Moment, Rates, ScheduleSpec
from isotune.spec.transforms import TransformSpec


class Darkened:
    """Subtracts a number of levels."""

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def apply(self, image: Image.Image) -> Image.Image:
        return image.point(lambda level: max(level - self.levels, 0))


class RandomDarkenSpec(TransformSpec):
    """Darkens the image by a random number of levels.

    Attributes:
        most: Upper bound on the number of levels.
    """

    main = "most"
    name: Literal["random_darken"] = "random_darken"
    most: Annotated[int, Field(ge=0, le=255)]
    least: Annotated[int, Field(ge=0, le=255)] = 0

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Darkened:
        return Darkened(self.least + int(rng.random() * (self.most - self.least + 1)))


class InvertSpec(TransformSpec):
    """Inverts the levels; it has no options."""

    bare = True
    random = False
    name: Literal["invert"] = "invert"

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Inverted:
        return Inverted()


class Inverted:
    """Inverts the levels."""

    def apply(self, image: Image.Image) -> Image.Image:
        return image.point(lambda level: 255 - level)


class HalvedSchedule(ScheduleSpec):
    """Halves the learning rate every so many steps.

    Attributes:
        steps: Number of steps.
    """

    name: Literal["halved"]
    steps: Annotated[int, Field(ge=1)] = 2

    def rates(self, moment: Moment) -> Rates:
        return Rates(moment.lr / 2 ** (moment.step // self.steps))


class GrayLevels(ImageSource):
    """Images of one level each."""

    always_readable = True
    cheap = True

    def __init__(self, file: Path, side: int, classes: tuple[str, ...] | None) -> None:
        try:
            rows = [line.split() for line in file.read_text().splitlines()]
        except OSError as error:
            raise DatasetError(f"{file}: cannot be read: {error.strerror}.") from error
        self.file, self.side = file, side
        self.levels = [int(level) for level, _ in rows]
        self.classes = classes or tuple(sorted({name for _, name in rows}))
        self.labels = np.array([self.classes.index(name) for _, name in rows], np.int32)

    def load(self, index: int) -> Image.Image:
        return Image.new("RGB", (self.side, self.side), (self.levels[index],) * 3)

    def identify(self, index: int) -> str:
        return f"{self.file}[{index}]"


class GrayLevelsDataset(DatasetFormat):
    """A text file for each split: a gray level and a class in each line.

    Attributes:
        side: Pixels of an image's side.
    """

    format: Literal["gray_levels"] = "gray_levels"
    side: Annotated[int, Field(ge=1)] = 8

    def open(self, folder: Path, split: str, classes: tuple[str, ...] | None = None) -> ImageSource:
        return GrayLevels(folder / f"{split}.txt", self.side, classes)


@hookimpl
def isotune_transforms() -> list[type[TransformSpec]]:
    return [RandomDarkenSpec, InvertSpec]


@hookimpl
def isotune_dataset_formats() -> list[type[DatasetFormat]]:
    return [GrayLevelsDataset]


@hookimpl
def isotune_schedules() -> list[type[ScheduleSpec]]:
    return [HalvedSchedule]


def make_levels(root: Path) -> Path:
    """Writes a dataset of format ``gray_levels`` and returns `root`."""
    root.mkdir(parents=True)
    for split in ("train", "val"):
        lines = [f"{level} {name}" for name, level in (("dark", 60), ("light", 250))] * 4
        (root / f"{split}.txt").write_text("\n".join(lines))
    return root
