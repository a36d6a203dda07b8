from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import isotune
from cifar import make_cifar10
from isotune.data.images import open_split
from isotune.errors import DatasetError, WeightsError
from isotune.spec.load import load_spec
from tiny import experiment, make_images, numpy_plugins
from web import served


def test_a_run_on_cifar10_needs_no_word_about_splits(tmp_path: Path) -> None:
    root = make_cifar10(tmp_path / "cifar", records=10)
    spec = experiment(root, dataset={"format": "cifar10", "path": str(root)})
    run = isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=numpy_plugins())
    assert run.classes[:2] == ("airplane", "automobile")
    assert len(run.evaluate("train").labels) == 50
    assert run.evaluate("test").loss == run.evaluate().loss == run.best.val_loss
    other = make_cifar10(tmp_path / "other" / "cifar-10-batches-bin", records=4)
    assert len(run.evaluate(data=other.parent).labels) == 4

    shown = run.examples(count=5)
    assert [each.label for each in shown] == [run.classes[index] for index in (1, 3, 5, 7, 9)]
    assert shown[0].image.shape == (32, 32, 3)
    with pytest.raises(DatasetError, match="has no split 'valid'"):
        run.evaluate("valid")


def test_a_run_downloads_its_images_and_weights_once(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "packed" / "data" / "insects")
    archive = shutil.make_archive("insects", "zip", tmp_path / "packed")
    weights = save({"fc.weight": np.zeros((7, 192), np.float32)})
    with served() as site:
        site.files = {"/insects.zip": Path(archive).read_bytes(), "/w": weights}
        spec = experiment(
            Path("insects"),
            dataset={"path": "insects", "url": f"{site.url}/insects.zip"},
            backbone={
                "name": "linear",
                "weights": "mine.safetensors",
                "url": f"{site.url}/w",
                "sha256": hashlib.sha256(weights).hexdigest(),
            },
        )
        for number in range(2):
            output = tmp_path / f"run{number}"
            isotune.run(spec, backend="numpy", output=output, plugins=numpy_plugins())
        assert len(site.requests) == 2
    assert (home / "datasets" / "insects" / "train" / "bees").is_dir()
    assert (home / "weights" / "mine.safetensors").read_bytes() == weights
    spec["backbone"] |= {"weights": "other.safetensors", "sha256": "0" * 8}
    with pytest.raises(WeightsError, match=r"backbone.weights: .* cannot be reached"):
        isotune.run(spec, backend="numpy", output=tmp_path / "no", plugins=numpy_plugins())
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("path", ["{}/out", "../../out", "~/out", "C:\\out", "link/out", "a\0b"])
def test_a_download_is_never_unpacked_outside_of_the_home(
    path: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linked").mkdir()
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "link").symlink_to(tmp_path / "linked")
    before = sorted(tmp_path.rglob("*"))
    with served() as site:
        dataset = {"path": path.format(tmp_path), "url": f"{site.url}/insects.zip"}
        spec = load_spec(experiment(Path(), dataset=dataset))
        with pytest.raises(DatasetError, match=f"goes to a plain name, .* in {home}/datasets"):
            open_split(spec.dataset, "train")
        assert site.requests == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["{}/insects", "~/insects", "link/insects"])
def test_a_folder_that_is_there_may_be_anywhere(
    path: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make_images(tmp_path / "insects")
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / "link").symlink_to(tmp_path)
    dataset = {"path": path.format(tmp_path), "url": "http://127.0.0.1:9/insects.zip"}
    spec = load_spec(experiment(Path(), dataset=dataset))
    assert open_split(spec.dataset, "train").classes == ("ants", "bees", "cats")
