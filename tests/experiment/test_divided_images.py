"""A run whose spec divides a folder keeps its splits, whatever is added to it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

import isotune
from isotune.errors import DatasetError, RunError
from isotune.experiment.result import Run
from isotune.experiment.show_data import Part
from isotune.exporting.manifest import ExportManifest, Origin
from isotune.exporting.model import ExportedModel, Graph
from isotune.interfaces.dataset import ImageSource
from isotune.runs.images import read_images, summarize_images
from isotune.spec.load import load_spec
from outcomes import outcome
from stopping import StopAt, demanding, resume
from tiny import make_images, numpy_plugins
from zoo import run

SPLIT = {"val": 0.2, "test": 0.2}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"), train=10, val=0, size=12) / "train"


def divided(folder: Path, **dataset: Any) -> dict[str, Any]:
    return demanding("numpy", folder, dataset={"path": str(folder), "split": SPLIT, **dataset})


def add_images(folder: Path) -> None:
    """Adds images that would change every split, and a class."""
    for name in ("ants", "bees", "wasps"):
        (folder / name).mkdir(exist_ok=True)
        for number in range(6):
            color = (90 * number // 6, len(name), number)
            Image.new("RGB", (12, 12), color).save(folder / name / f"0{number}.png")
    (folder / "cats" / "broken.png").write_bytes(b"no image")


def names(source: ImageSource, folder: Path) -> list[str]:
    return [str(Path(source.identify(i)).relative_to(folder)) for i in range(len(source))]


@pytest.fixture
def own(images: Path, tmp_path: Path) -> Path:
    """A copy of the images."""
    return Path(shutil.copytree(images, tmp_path / "own"))


def test_a_resumed_run_and_its_evaluations_see_the_same_images(own: Path, tmp_path: Path) -> None:
    whole = run("numpy", divided(own), tmp_path / "whole")
    listed = [(image.split, image.name) for image in read_images(whole.path) or ()]
    assert Counter(split for split, _ in listed) == {"train": 18, "val": 6, "test": 6}
    assert len({name for _, name in listed}) == 30
    before = {split: whole.evaluate(split).loss for split in ("train", "val", "test")}
    assert before["val"] == whole.evaluate().loss == whole.best.val_loss
    assert len(set(before.values())) == 3
    counts = json.loads((whole.path / "summary.json").read_text())["images"]
    assert counts == {"train": 18, "val": 6, "test": 6}

    with pytest.raises(isotune.StoppedError):
        run("numpy", divided(own), tmp_path / "stopped", observers=[StopAt(7)])
    moved = own.with_name("moved")
    own.rename(moved)
    add_images(moved)
    resumed = resume("numpy", tmp_path / "stopped", overrides=[f"dataset.path={moved}"])
    assert outcome(resumed.path) == outcome(whole.path)
    assert (resumed.path / "images.jsonl").read_bytes() == (
        whole.path / "images.jsonl"
    ).read_bytes()
    opened = isotune.open_run(resumed.path, plugins=numpy_plugins())
    assert {split: opened.evaluate(split).loss for split in before} == before
    for split in before:
        expected = [name for part, name in listed if part == split]
        assert names(opened.open_images(split), moved) == expected
    assert [each.label for each in opened.examples(6, "test")] == ["ants"] * 2 + ["bees"] * 2 + [
        "cats"
    ] * 2


def test_what_is_gone_or_changed_is_named(own: Path, tmp_path: Path) -> None:
    done = run("numpy", divided(own), tmp_path / "run")
    with pytest.raises(DatasetError) as error:
        done.evaluate("foo")
    assert str(error.value) == (
        "there is no split 'foo': the splits of this run are train, val and test."
    )
    first, second, *_ = names(done.open_images("test"), own)
    validated = names(done.open_images(), own)[0]
    shutil.copy(own / validated, own / second)
    (own / first).unlink()
    for again in (lambda: done.evaluate("test"), lambda: continued(done)):
        with pytest.raises(DatasetError) as error:
            again()
        assert str(error.value) == (
            f"{own}: 2 of the 6 images that the run lists as its split 'test' are gone or have"
            f" another content, the first {first}. Put back what was there, or start a new run."
        )
    assert len(done.evaluate().labels) == 6
    listing = done.path / "images.jsonl"
    lines = listing.read_text().splitlines(keepends=True)
    listing.write_text("".join(line for line in lines if not line.startswith('["val"')))
    with pytest.raises(DatasetError, match="'val': the splits of this run are train and test"):
        continued(done)
    listing.write_text("{}")
    with pytest.raises(RunError, match="is no list of a run's images"):
        done.evaluate()


def test_a_table_is_divided_by_its_groups(own: Path, tmp_path: Path) -> None:
    rows = [
        f"{name}/{number}.png,{name},{number // 2}"
        for name in ("ants", "bees", "cats")
        for number in range(10)
    ]
    (own / "labels.csv").write_text("\n".join(["path,label,group", *rows]))
    split = {"val": 0.2, "test": 0.2, "by": "group"}
    dataset = {"format": "table", "path": str(own / "labels.csv"), "split": split}
    done = run("numpy", demanding("numpy", own, dataset=dataset), tmp_path / "run")
    groups = [done.open_images(name).groups for name in ("train", "val", "test")]
    seen = [set() if each is None else set(each.tolist()) for each in groups]
    assert [len(numbers) for numbers in seen] == [3, 1, 1]
    assert len(set.union(*seen)) == 5
    before = done.evaluate("test").loss
    moved = own.rename(own.with_name("moved"))
    shutil.copy(moved / "ants" / "1.png", moved / "ants" / "new.png")
    with (moved / "labels.csv").open("a") as file:
        file.write("\nants/new.png,bees,7")
    assert done.evaluate("test", moved / "labels.csv").loss == before
    assert len(done.evaluate(data=moved / "labels.csv").labels) == 31


def continued(done: Run) -> Run:
    return resume("numpy", done.path, overrides=["epochs=8"])


def test_another_folder_is_taken_whole_unless_a_split_is_named(own: Path, tmp_path: Path) -> None:
    done = run("numpy", divided(own), tmp_path / "run")
    shutil.copytree(own / "bees", tmp_path / "other" / "bees")
    assert len(done.evaluate(data=tmp_path / "other").labels) == 10
    assert done.split_name(data=tmp_path / "other") == "all"
    with pytest.raises(DatasetError, match="4 of the 6 images that the run lists as its split"):
        done.evaluate("val", tmp_path / "other")
    moved = shutil.copytree(own, tmp_path / "moved")
    assert done.evaluate("val", moved).loss == done.evaluate().loss
    make_images(tmp_path / "split")
    with pytest.raises(DatasetError, match="is split already into train and val"):
        done.evaluate(data=tmp_path / "split")


def test_an_exported_model_refuses_another_division(own: Path, tmp_path: Path) -> None:
    done = run("numpy", divided(own), tmp_path / "run")
    listed = summarize_images(read_images(done.path) or ())
    manifest = ExportManifest(
        isotune="0",
        name="tiny",
        classes=list(done.classes),
        transforms=[],
        spec={},
        images=dict(listed.fingerprints),
        origin=Origin(run="run", backend="numpy", epoch=1, sha256="0" * 64),
    )
    graph = cast("Graph", None)
    model = ExportedModel(Path("x"), manifest, graph, done.spec, done.classes, done.plan)
    assert names(model.open_images("test"), own) == names(done.open_images("test"), own)
    (own / "ants" / "new.png").write_bytes((own / "bees" / "1.png").read_bytes())
    add_images(own)
    (own / "cats" / "broken.png").unlink()
    shutil.rmtree(own / "wasps")
    with pytest.raises(DatasetError, match="its split 'test' is no longer that of the run"):
        model.open_images("test")
    assert len(model.open_images(data=own)) == 43


def test_unreadable_images_are_left_out_before_the_division(own: Path, tmp_path: Path) -> None:
    (own / "cats" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match="1 image is broken"):
        run("numpy", divided(own), tmp_path / "run")
    done = run("numpy", divided(own, broken="skip"), tmp_path / "run")
    summary = json.loads((done.path / "summary.json").read_text())
    assert (summary["images"]["train"], summary["skipped"]) == (18, {"all": 1})
    for split in ("val", "test"):
        figure = isotune.show_data(divided(own, broken="skip"), split=cast("Part", split))
        assert f"{split} as the network sees it" in str(figure.texts)
    (own / "cats" / "broken.png").unlink()
    undivided = demanding("numpy", make_images(tmp_path / "undivided"))
    with pytest.raises(DatasetError, match=r"no split 'test', which only dataset\.split makes"):
        isotune.show_data(undivided, split="test")


def test_a_folder_around_the_class_folders_is_named(own: Path, tmp_path: Path) -> None:
    (tmp_path / "around").mkdir()
    own.rename(tmp_path / "around" / "flowers")
    spec = load_spec(divided(tmp_path / "around"))
    with pytest.raises(DatasetError) as error:
        run("numpy", spec, tmp_path / "run")  # type: ignore[arg-type]
    inner = tmp_path / "around" / "flowers"
    assert str(error.value) == (
        f"{tmp_path}/around: there is only one class, 'flowers', and training needs two at least;"
        f" {inner} holds the folders 'ants', 'bees', 'cats': if these are the classes, set"
        f" dataset.path to '{inner}'."
    )


def test_folds_leave_out_the_test_images(own: Path, tmp_path: Path) -> None:
    whole = run("numpy", divided(own), tmp_path / "whole")
    tested = names(whole.open_images("test"), own)
    seen = set()
    for number in (1, 2):
        fold = {"number": number, "folds": 2}
        done = run("numpy", divided(own, fold=fold), tmp_path / f"{number}")
        listed = [image.name for image in read_images(done.path) or ()]
        assert len(listed) == len(set(listed)) == 24
        assert not set(listed) & set(tested)
        seen |= set(names(done.open_images(), own))
        assert names(done.open_images("test"), own) == tested
    assert len(seen) == 24
