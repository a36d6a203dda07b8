from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isotune.data.sources.folder import FolderSource
from isotune.errors import DatasetError

Save = Callable[..., Path]


def odd_tree(save: Save, tmp_path: Path) -> None:
    for number, name in enumerate(
        [
            "train/zebra/2.jpg",
            "train/zebra/10.JPG",
            "train/zebra/deep/er/1.png",
            "train/zebra/deep-er/1.png",
            "train/zebra/.hidden.bmp",
            "train/Ant/a.Jpeg",
            "train/Ant/B.webp",
            "train/été/naïve café.tiff",
            "train/été/名前.ppm",
        ]
    ):
        save(name, seed=number)
    save("train/zebra/ignored.gif")
    (tmp_path / "train/zebra/notes.txt").write_text("no image")
    (tmp_path / "train/loose.jpg").write_text("beside the classes")
    save("elsewhere/linked.jpg")
    (tmp_path / "train/Ant/more").symlink_to(tmp_path / "elsewhere")


def test_images_and_labels_are_those_of_image_folder(save: Save, tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    odd_tree(save, tmp_path)
    ours = FolderSource(tmp_path, "train")
    theirs = datasets.ImageFolder(str(tmp_path / "train"))
    assert list(ours.classes) == theirs.classes
    assert [
        (ours.identify(index), int(label)) for index, label in enumerate(ours.labels)
    ] == theirs.samples
    assert ours.labels.dtype == "int32"
    assert len(ours) == 10


def test_images_are_decoded(save: Save, tmp_path: Path) -> None:
    save("train/a/1.png", 5, 3)
    assert FolderSource(tmp_path, "train").load(0).size == (5, 3)


def test_a_link_that_leads_back_is_not_followed(save: Save, tmp_path: Path) -> None:
    save("train/a/1.png")
    (tmp_path / "train/a/loop").symlink_to(tmp_path / "train")
    (tmp_path / "train/a/loop2").symlink_to(tmp_path / "train/a")
    assert len(FolderSource(tmp_path, "train")) == 1


def test_labels_follow_the_given_order_of_classes(save: Save, tmp_path: Path) -> None:
    save("val/a/1.png")
    save("val/b/1.png")
    assert FolderSource(tmp_path, "val", ("b", "a")).labels.tolist() == [1, 0]


def test_missing_folders_are_named(save: Save, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no such dataset folder"):
        FolderSource(tmp_path / "gone", "train")
    save("train/a/1.png")
    (tmp_path / "valid").mkdir()
    with pytest.raises(DatasetError, match=r"no split 'trian'. Did you mean 'train'. .* valid"):
        FolderSource(tmp_path, "trian")
    with pytest.raises(DatasetError, match=r"no class folder"):
        FolderSource(tmp_path, "valid")


def test_a_class_without_images_is_named(save: Save, tmp_path: Path) -> None:
    save("train/a/1.png")
    save("train/empty/1.gif")
    with pytest.raises(DatasetError, match=r"class 'empty'.*\.jpg"):
        FolderSource(tmp_path, "train")


def test_other_classes_than_in_training_are_named(save: Save, tmp_path: Path) -> None:
    save("val/ants/1.png")
    save("val/wasps/1.png")
    with pytest.raises(DatasetError, match=r"lacks 'bees' and it has 'wasps'"):
        FolderSource(tmp_path, "val", ("ants", "bees"))
