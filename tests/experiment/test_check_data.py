"""``isotune.check_data``, on a dataset with one offender of each kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

import isotune
from isotune.data.integrity import looks
from isotune.data.integrity.findings import Finding, Kind
from isotune.experiment.check_data import DataCheck
from tiny import experiment

WIDTH, HEIGHT = 80, 60


def scene(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def noise(low: int, high: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(low, high, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def save(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def make_clean(root: Path) -> Path:
    """Writes five training images and one to validate on of each class, nothing wrong with them."""
    for number, name in enumerate(("ants", "bees")):
        for image in range(5):
            save(root / f"train/{name}/{image}.png", scene(10 * number + image))
        save(root / f"val/{name}/0.png", scene(10 * number + 7))
    return root


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return make_clean(tmp_path / "images")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset with one offender of each kind that it can have at the same time."""
    root = make_clean(tmp_path_factory.mktemp("planted"))
    train, ants = root / "train", root / "train/ants"
    (ants / "broken\x1b[2J.png").write_bytes(b"no image")
    for name, image in {
        "one-colored": Image.new("RGB", (WIDTH, HEIGHT), (9, 90, 200)),
        "dark": noise(0, 24),
        "bright": noise(232, 256),
        "tiny": scene(101, 7, 6),
        "huge": scene(102, 900, 600),
        "long": scene(103, 260, 60),
        "near": scene(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }.items():
        save(ants / f"{name}.png", image)
    (ants / "equal.png").write_bytes((ants / "2.png").read_bytes())
    (train / "bees/equal.png").write_bytes((ants / "3.png").read_bytes())
    (root / "val/bees/equal.png").write_bytes((train / "bees/1.png").read_bytes())
    save(train / "bees/near.png", scene(4).resize((70, 50)))
    save(root / "val/ants/near.png", scene(0).resize((70, 50)))
    (train / "Ants").mkdir()
    save(train / "Ants/0.png", scene(200))
    return root


@pytest.fixture(scope="module")
def check(planted: Path) -> DataCheck:
    return isotune.check_data(experiment(planted))


def found(check: DataCheck) -> dict[str, list[str]]:
    """Returns the images, or else the classes, of each kind of finding."""
    return {
        finding.kind: [
            " = ".join(f"{image.split}/{image.name}" for image in offender.images)
            or ", ".join(offender.classes)
            for offender in finding.offenders
        ]
        for finding in check.findings
    }


def test_nothing_is_found_where_nothing_is_wrong(clean: Path) -> None:
    check = isotune.check_data(experiment(clean))
    assert check.findings == ()
    assert check.classes == ("ants", "bees")
    assert check.counts == {"train": (5, 5), "val": (1, 1)}


def test_every_offender_is_found_and_nothing_else(check: DataCheck) -> None:
    assert found(check) == {
        "split": [""],
        "unreadable": ["train/ants/broken\x1b[2J.png"],
        "similar-classes": ["Ants, ants"],
        "missing-class": ["Ants"],
        "few-images": ["Ants"],
        "imbalance": ["Ants"],
        "duplicates-across-splits": ["train/bees/1.png = val/bees/equal.png"],
        "duplicates-across-classes": ["train/ants/3.png = train/bees/equal.png"],
        "duplicates": ["train/ants/2.png = train/ants/equal.png"],
        "near-duplicates-across-splits": ["train/ants/0.png = val/ants/near.png"],
        "near-duplicates-across-classes": ["train/ants/4.png = train/bees/near.png"],
        "near-duplicates": ["train/ants/1.png = train/ants/near.png"],
        "one-colored": ["train/ants/one-colored.png"],
        "dark": ["train/ants/dark.png"],
        "bright": ["train/ants/bright.png"],
        "tiny": ["train/ants/tiny.png"],
        "huge": ["train/ants/huge.png"],
        "elongated": ["train/ants/long.png"],
    }
    assert [finding.kind for finding in check.errors] == ["split", "unreadable"]
    kinds = get_args(Kind)
    assert [each.kind for each in check.warnings] == [k for k in kinds if k in found(check)][2:]


def test_the_same_is_found_in_an_archive(check: DataCheck, planted: Path, tmp_path: Path) -> None:
    path = shutil.make_archive(str(tmp_path / "images"), "zip", planted)
    inside = isotune.check_data(experiment(planted, dataset={"format": "archive", "path": path}))
    assert found(inside) == found(check)
    assert inside.counts == check.counts


def test_the_spec_says_what_stops_a_run(planted: Path) -> None:
    def severity(**dataset: Any) -> dict[str, str]:
        spec = experiment(planted, dataset={"path": str(planted), **dataset})
        return {each.kind: each.severity for each in isotune.check_data(spec).findings}

    strict = severity(duplicates="error")
    assert strict["duplicates-across-splits"] == "error"
    assert strict["near-duplicates-across-splits"] == strict["duplicates"] == "warning"
    lax = severity(broken="skip", duplicates="ignore")
    assert lax["unreadable"] == "warning"
    assert not {"duplicates-across-splits", "near-duplicates-across-splits"} & lax.keys()
    assert "duplicates-across-classes" in lax


def test_a_class_must_have_an_image_that_can_be_read(clean: Path) -> None:
    (clean / "val/bees/0.png").write_bytes(b"no image")
    spec = experiment(clean, dataset={"path": str(clean), "broken": "skip"})
    check = isotune.check_data(spec)
    assert [finding.kind for finding in check.errors] == ["unreadable-class"]
    assert check.errors[0].offenders[0].classes == ("bees",)


def test_images_above_max_pixels_are_not_decoded(clean: Path) -> None:
    save(clean / "train/ants/large.png", scene(50, 200, 150))
    spec = experiment(clean, dataset={"path": str(clean), "max_pixels": 20_000})
    (finding,) = isotune.check_data(spec).findings
    assert finding.kind == "unreadable"
    assert "200 x 150 pixels are more than 20000" in finding.offenders[0].detail


def test_a_single_class_and_a_missing_split_are_errors(clean: Path) -> None:
    spec = experiment(clean, dataset={"path": str(clean), "splits": {"val": "test"}})
    (finding,) = isotune.check_data(spec).findings
    assert (finding.kind, finding.severity) == ("split", "error")
    assert "has no split 'test'" in finding.offenders[0].detail
    one = clean.parent / "one"
    for split in ("train", "val"):
        (one / split).mkdir(parents=True)
        (one / split / "ants").symlink_to(clean / split / "ants")
    assert [each.kind for each in isotune.check_data(experiment(one)).errors] == ["single-class"]


def test_other_splits_are_checked_when_named(clean: Path) -> None:
    save(clean / "test/wasps/0.png", scene(3).resize((70, 50)))
    check = isotune.check_data(experiment(clean), splits=["test"])
    assert check.classes == ("ants", "bees", "wasps")
    assert check.counts["test"] == (0, 0, 1)
    assert check.errors == ()
    assert found(check)["split"] == [""]
    assert found(check)["near-duplicates-across-splits"] == ["train/ants/3.png = test/wasps/0.png"]


def test_the_splits_that_a_spec_makes_are_checked(clean: Path) -> None:
    whole = clean / "train"
    for name in ("ants", "bees"):
        for number in range(5):
            image = Image.open(whole / name / f"{number}.png")
            save(whole / name / f"turned{number}.png", image.transpose(Image.Transpose.ROTATE_90))
    (whole / "ants/broken.png").write_bytes(b"no image")
    dataset = {"path": str(whole), "split": {"val": 0.2, "test": 0.2}, "broken": "skip"}
    check = isotune.check_data(experiment(whole, dataset=dataset))
    assert check.counts == {"train": (6, 6), "val": (2, 2), "test": (2, 2)}
    assert found(check)["unreadable"] == ["all/ants/broken.png"]
    assert found(check)["near-duplicates-across-splits"]
    assert check.figure(count=2).axes[0].title.get_text() == "unreadable"
    check = isotune.check_data(experiment(whole, dataset={**dataset, "split": {"val": 11}}))
    assert check.errors[0].kind == "split"
    assert check.counts == {"all": (11, 10)}


def test_a_table_with_groups_and_several_labels_is_checked(clean: Path) -> None:
    save(clean / "train/bees/near.png", scene(4).resize((70, 50)))
    save(clean / "train/bees/next.png", scene(10).resize((70, 50)))
    rows = ["path,label,split,group", "train/ants/4.png,ants;bees,train,a"]
    rows += [f"train/bees/{name}.png,bees,train,a" for name in ("near", "0")]
    rows += ["train/bees/next.png,bees,train,b", "val/ants/0.png,ants;Bees,val,c"]
    (clean / "labels.csv").write_text("\n".join(rows))
    dataset = {"format": "table", "path": str(clean / "labels.csv"), "targets": "multi_label"}
    loss = "binary_cross_entropy"
    check = isotune.check_data(experiment(clean, dataset=dataset, loss=loss))
    assert check.counts == {"train": (1, 4, 0), "val": (1, 0, 1)}
    assert found(check)["similar-classes"] == ["Bees, bees"]
    assert found(check)["near-duplicates-across-classes"] == [
        "train/train/ants/4.png = train/train/bees/near.png"
    ]
    assert found(check)["near-duplicates-across-groups"] == [
        "train/train/bees/0.png = train/train/bees/next.png"
    ]


def test_each_image_is_decoded_once_even_for_several_checks(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    describe: Callable[..., Any] = looks.describe

    def noted(image: Image.Image, size: tuple[int, int]) -> Any:
        seen.append(size)
        return describe(image, size)

    monkeypatch.setattr(looks, "describe", noted)
    first = isotune.check_data(experiment(clean))
    assert seen == [(WIDTH, HEIGHT)] * 12
    save(clean / "train/bees/new.png", scene(4, 90, 70))
    second = isotune.check_data(experiment(clean))
    assert seen[12:] == [(90, 70)], "only the new image"
    assert first.findings == ()
    assert list(found(second)) == ["near-duplicates-across-classes"]


def test_json_is_complete_and_of_the_documented_types(check: DataCheck) -> None:
    plain = json.loads(json.dumps(check.as_json()))
    assert plain.keys() == {"format", "name", "classes", "counts", "findings"}
    assert plain["format"] == "isotune-check-1"
    assert TypeAdapter(tuple[Finding, ...]).validate_python(plain["findings"]) == check.findings


def test_the_figure_shows_the_images_of_each_finding(check: DataCheck) -> None:
    figure = check.figure(count=40)
    titles = {axes.title.get_text().replace("\n", "").split(" ")[0] for axes in figure.axes}
    assert {"unreadable", "tiny", "elongated", "near-duplicates-across-splits"} <= titles
    assert len(figure.axes) <= 40
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "\x1b" not in "".join(texts)
