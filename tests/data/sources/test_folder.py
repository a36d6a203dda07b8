from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest

import isotune
from isotune.data import folders
from isotune.data.folders import ENDINGS, is_hidden, is_image
from isotune.data.sources.folder import FolderSource
from isotune.errors import DatasetError
from tiny import experiment, make_images, numpy_plugins

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
            "train/été/animation.gif",
            "train/été/photo.jfif",
            "train/été/photo.AVIF",
            "train/été/photo.jp2",
        ]
    ):
        save(name, seed=number)
    (tmp_path / "train/zebra/notes.txt").write_text("no image")
    (tmp_path / "train/loose.jpg").write_text("beside the classes")
    save("elsewhere/linked.jpg")
    (tmp_path / "train/Ant/more").symlink_to(tmp_path / "elsewhere")


def test_images_and_labels_are_those_of_image_folder(save: Save, tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    odd_tree(save, tmp_path)
    ours = FolderSource(tmp_path, "train")
    theirs = datasets.ImageFolder(
        str(tmp_path / "train"),
        is_valid_file=lambda path: is_image(path) and not is_hidden(Path(path).name),
    )
    assert set(datasets.folder.IMG_EXTENSIONS) < set(ENDINGS)
    assert list(ours.classes) == theirs.classes
    assert [
        (ours.identify(index), int(label)) for index, label in enumerate(ours.labels)
    ] == theirs.samples
    assert ours.labels.dtype == "int32"
    assert len(ours) == 13
    for index in range(len(ours)):
        assert ours.load(index).size == (20, 16)


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
    with pytest.raises(DatasetError, match=r"no split 'val'.* It has: train, valid. dataset.split"):
        FolderSource(tmp_path, "val")
    with pytest.raises(DatasetError, match=r"no class folder"):
        FolderSource(tmp_path, "valid")
    (tmp_path / "valid/train-0.parquet").touch()
    with pytest.raises(DatasetError, match=r"but train-0.parquet: .* perhaps be 'parquet'\."):
        FolderSource(tmp_path / "valid", "train")


def test_a_class_without_images_is_named(save: Save, tmp_path: Path) -> None:
    save("train/a/1.png")
    save("train/empty/1.png").rename(tmp_path / "train/empty/1.psd")
    with pytest.raises(DatasetError, match=r"class 'empty'.*\.jpg"):
        FolderSource(tmp_path, "train")


def test_other_classes_than_in_training_are_named(save: Save, tmp_path: Path) -> None:
    save("val/ants/1.png")
    save("val/wasps/1.png")
    with pytest.raises(DatasetError, match=r"lacks 'bees' and it has 'wasps'"):
        FolderSource(tmp_path, "val", ("ants", "bees"))


def add_junk(folder: Path) -> None:
    """Leaves beside and between a dataset's images what systems and programs leave there."""
    inner = next(path for path in sorted(folder.rglob("*.png"))).parent
    for name in (".ipynb_checkpoints/1-checkpoint.png", "__MACOSX/._1.png", "@eaDir/1.png/T.jpg"):
        for place in (folder, folder / "train", inner):
            (place / name).parent.mkdir(parents=True)
            shutil.copy(next(inner.glob("*.png")), place / name)
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        for place in (folder, folder / "train", inner):
            (place / name).write_bytes(b"\0\x05\x16\x07")


def test_what_systems_leave_in_folders_is_neither_class_nor_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clean, other = (make_images(tmp_path / name) for name in ("clean", "other"))
    add_junk(other)
    before, after = (FolderSource(root, "train") for root in (clean, other))
    assert after.classes == before.classes
    assert after.names == before.names
    assert caplog.messages == [f"{other}/train: left out 14 hidden entries"]
    caplog.clear()
    spec = experiment(other, epochs=1)
    run = isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=numpy_plugins())
    assert run.classes == before.classes
    assert len(run.evaluate("train").labels) == len(before)
    assert "train: left out 14 hidden entries" in caplog.text
    isotune.split(other / "train", tmp_path / "split", train=2, val=1)
    assert FolderSource(tmp_path / "split", "train").classes == before.classes


def test_files_left_out_are_counted_by_ending(
    save: Save,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save("train/a/1.png")
    counts = {"heic": 6, "txt": 5, "psd": 4, "HEIF": 3, "of a long name": 2, "0": 1, "1": 1, "2": 1}
    for ending, count in counts.items():
        for number in range(count):
            (tmp_path / f"train/a/{number}.{ending}").write_bytes(b"")
    monkeypatch.setattr(folders, "endings", lambda: ENDINGS)
    FolderSource(tmp_path, "train")
    assert caplog.messages == [
        f"{tmp_path}/train: left out 6 .heic, 5 .txt, 4 .psd, 3 .heif, 2 without an ending,"
        " 3 with other endings; to read .heic and .heif: pip install pillow-heif"
    ]


def test_training_on_one_class_is_refused_and_its_earlier_runs_predict_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make_images(tmp_path / "images")
    for split in ("train", "val"):
        (images / "all" / split).mkdir(parents=True)
        (images / split).rename(images / "all" / split / "insects")
    spec = experiment(images / "all")
    with pytest.raises(DatasetError) as error:
        isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=numpy_plugins())
    assert str(error.value) == (
        f"{images}/all/train: the split 'train' has only one class, 'insects', and training needs"
        " two at least; train/insects holds the folders 'ants', 'bees', 'cats': if these are the"
        " classes, set dataset.splits.train to 'train/insects'."
    )
    assert not (tmp_path / "run").exists()
    assert FolderSource(images / "all", "val", ("insects",)).labels.tolist() == [0] * 6
    with monkeypatch.context() as patch:  # as earlier versions did
        patch.setattr("isotune.data.images.check_several_classes", lambda *_: None)
        old = isotune.run(spec, backend="numpy", output=tmp_path / "old", plugins=numpy_plugins())
    assert old.evaluate().loss == 0
    assert old.predict(images / "all/val/insects/ants/0.png") == [("insects", 1.0)]
    spec["dataset"] |= {"splits": {"train": "train/insects", "val": "val/insects"}}
    run = isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=numpy_plugins())
    assert run.classes == ("ants", "bees", "cats")


def test_names_may_differ_in_their_unicode_form(save: Save, tmp_path: Path) -> None:
    composed, apart = normalize("NFC", "été"), normalize("NFD", "été")
    save(f"Träining/{composed}/1.png")
    save("Träining/a/1.png")
    save(f"val/{apart}/1.png")
    save("val/a/1.png")
    train = FolderSource(tmp_path, normalize("NFD", "Träining"))
    val = FolderSource(tmp_path, "val", train.classes)
    assert val.classes == train.classes == ("a", composed)
    assert val.labels.tolist() == [0, 1]
    assert val.load(1).size == (20, 16)
    save(f"val/{composed}/2.png")
    with pytest.raises(DatasetError, match="two folders named"):
        FolderSource(tmp_path, "val")


def test_class_folders_without_splits_are_told_how_to_split(save: Save, tmp_path: Path) -> None:
    save("ants/1.png")
    save("bees/1.png")
    with pytest.raises(DatasetError) as error:
        FolderSource(tmp_path, "train")
    assert str(error.value) == (
        f"{tmp_path}: has no split 'train'. It has: ants, bees. If these are classes, make splits"
        " of them: set dataset.split to {val: 0.2}, or isotune split"
        f" {tmp_path} --train 0.8 --val 0.2 -o NEW_FOLDER."
    )
    shutil.rmtree(tmp_path / "bees")
    (tmp_path / "ants").rename(tmp_path / "test")
    with pytest.raises(DatasetError, match=r"It has: test. dataset.splits names the folders to"):
        FolderSource(tmp_path, "train")
