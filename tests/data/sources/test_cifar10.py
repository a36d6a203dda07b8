from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cifar import NAMES, make_cifar10, pixels
from isotune.data.integrity.check import clean
from isotune.data.sources.cifar10 import Cifar10Source
from isotune.data.sources.subset import Subset
from isotune.errors import DatasetError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_cifar10(tmp_path / "cifar", records=3)


def test_records_are_read_as_the_format_describes_them(root: Path) -> None:
    train = Cifar10Source(root, "train")
    assert train.classes == tuple(NAMES)
    assert train.labels.tolist() == [0, 1, 2] * 5
    assert train.labels.dtype == np.int32
    for index, file, row in ((0, "data_batch_1.bin", 0), (7, "data_batch_3.bin", 1)):
        assert (np.asarray(train.load(index)) == pixels(root / file, row)).all()
        assert train.identify(index) == f"{root / file}[{row}]"
    assert train.load(14).mode == "RGB"


def test_files_may_differ_in_length(root: Path) -> None:
    with (root / "data_batch_2.bin").open("ab") as file:
        file.write(b"\x09" + bytes([7]) * 3072)
    train = Cifar10Source(root, "train")
    assert len(train) == 16
    assert train.identify(6) == f"{root}/data_batch_2.bin[3]"
    assert train.labels[6] == 9
    assert (np.asarray(train.load(6)) == 7).all()
    assert train.identify(7) == f"{root}/data_batch_3.bin[0]"


def test_the_test_batch_is_what_one_validates_on(root: Path) -> None:
    for split in ("val", "test"):
        source = Cifar10Source(root, split)
        assert [source.identify(i) for i in range(3)] == [
            f"{root}/test_batch.bin[{i}]" for i in range(3)
        ]
    with pytest.raises(DatasetError, match=r"has no split 'valid'; .*'train'.*'test'.*'val'"):
        Cifar10Source(root, "valid")


def test_the_folder_that_contains_them_will_do(tmp_path: Path) -> None:
    make_cifar10(tmp_path / "cifar-10-batches-bin")
    assert len(Cifar10Source(tmp_path, "test")) == 3
    assert len(Cifar10Source(tmp_path / "cifar-10-batches-bin", "test")) == 3


def test_labels_follow_the_given_order_of_classes(root: Path) -> None:
    classes = tuple(reversed(NAMES))
    assert Cifar10Source(root, "test", classes).labels.tolist() == [9, 8, 7]
    with pytest.raises(DatasetError, match=r"should be those of training \(ants, bees\)"):
        Cifar10Source(root, "test", ("ants", "bees"))


def test_its_images_are_not_decoded_to_find_out_whether_that_works(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Subset(Cifar10Source(root, "train"), [1, 2])
    monkeypatch.delattr(Cifar10Source, "load")
    assert clean(source, "error") == (source, [])


def damage(root: Path, name: str, change: bytes | None) -> None:
    if change is None:
        (root / name).unlink()
    else:
        (root / name).write_bytes(change)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_4.bin", None, "data_batch_4.bin: .*No such file"),
        ("data_batch_4.bin", b"", "data_batch_4.bin: is 0 bytes"),
        ("data_batch_4.bin", bytes(3072), "data_batch_4.bin: is 3072 bytes .*3073"),
        ("data_batch_4.bin", b"\x0a" + bytes(3072), "record 0 has label 10"),
        ("batches.meta.txt", None, "batches.meta.txt: .*No such file"),
        ("batches.meta.txt", b"\xff\xfe", "batches.meta.txt: .*ten class names"),
        ("batches.meta.txt", b"cat\ndog\n", "2 different words in 2"),
        ("batches.meta.txt", b"cat\n" * 10, "1 different words in 10"),
    ],
)
def test_what_is_wrong_is_one_sentence_that_names_the_file(
    root: Path, name: str, content: bytes | None, message: str
) -> None:
    damage(root, name, content)
    with pytest.raises(DatasetError, match=message) as error:
        Cifar10Source(root, "train")
    assert "\n" not in str(error.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such dataset folder"):
        Cifar10Source(tmp_path / "gone", "train")


def test_digests_are_those_of_the_pixels_alone(root: Path) -> None:
    first = (root / "data_batch_1.bin").read_bytes()[:3073]
    with (root / "test_batch.bin").open("ab") as file:
        file.write(b"\x09" + first[1:])
    train, test = (Cifar10Source(root, split).digests() for split in ("train", "test"))
    assert train.shape == (15, 16)
    assert (train[0] == test[3]).all()
    assert len(np.unique(np.concatenate([train, test]), axis=0)) == 18
    subset = Subset(Cifar10Source(root, "train"), [4, 0])
    assert subset.fingerprints() == [train[4].tobytes().hex(), train[0].tobytes().hex()]
    assert [subset.name(index) for index in range(2)] == [
        "data_batch_2.bin[1]",
        "data_batch_1.bin[0]",
    ]
