"""The list of a run's images: what differs is counted, and the first one named."""

from __future__ import annotations

from pathlib import Path

import pytest

from isotune.errors import RunError
from isotune.runs.images import ListedImage, check_same_images, write_images

IMAGES = [ListedImage("train", "a", f"a/{n}.png", f"{n:032x}") for n in range(5)]
UNKNOWN = [ListedImage(*image[:3], "") for image in IMAGES]


def other(image: ListedImage) -> ListedImage:
    return image._replace(digest="f" * 32)


@pytest.mark.parametrize(
    ("present", "says"),
    [
        (IMAGES[:-1], "train: a/4.png is gone"),
        (IMAGES[1:], "train: a/0.png is gone"),
        ([*IMAGES, ListedImage("val", "b", "x", "")], "val: x is new"),
        (
            [IMAGES[0], *map(other, IMAGES[1:3]), *IMAGES[3:]],
            "2 have another content, the first train: a/1.png",
        ),
        (
            [*IMAGES[:3], IMAGES[3]._replace(label="b"), other(IMAGES[4])],
            "train: a/3.png is in another class; train: a/4.png has another content",
        ),
        (IMAGES[::-1], "their order is another one"),
        ([], "5 are gone, the first train: a/0.png"),
    ],
)
def test_what_differs_is_counted(present: list[ListedImage], says: str, tmp_path: Path) -> None:
    write_images(tmp_path, IMAGES)
    with pytest.raises(RunError, match=f": the images are not those of the run: {says}\\. Put"):
        check_same_images(tmp_path, present)


def test_the_same_images_pass_and_so_does_whatever_an_earlier_run_had(tmp_path: Path) -> None:
    check_same_images(tmp_path, IMAGES)
    for written, present in ((IMAGES, IMAGES), (IMAGES, UNKNOWN), (UNKNOWN, IMAGES)):
        write_images(tmp_path, written)
        check_same_images(tmp_path, present)
