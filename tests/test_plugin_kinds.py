"""Transforms, dataset formats and schedules of plugins: in every way like Isotune's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import jsonschema
import numpy as np
import pytest
import yaml

import isotune
import kinds
from isotune import hookimpl
from isotune.data.batches import Batches
from isotune.data.images import Images, open_images
from isotune.data.sources.folder import FolderDataset, FolderSource
from isotune.data.transforms.random_apply import RandomApplySpec
from isotune.data.transforms.resize import ResizeSpec
from isotune.errors import BackendError, SpecError
from isotune.interfaces.events import StepEnded
from isotune.interfaces.trainer import TrainingPlan
from isotune.plugins import Plugins
from isotune.spec.dataset import DatasetSpec
from isotune.spec.reference import reference
from isotune.spec.transforms import TransformSpec
from isotune.training.features.cut import Cut
from isotune.training.features.key import FeatureKeys
from isotune.training.session import Session
from kinds import GrayLevelsDataset, InvertSpec, RandomDarkenSpec, make_levels
from numpy_backend.plugin import LINEAR
from tiny import experiment, make_images, numpy_plugins


@pytest.fixture
def plugins() -> Iterator[Plugins]:
    """The plugins of this environment, with that of :mod:`kinds`."""
    plugins = numpy_plugins()
    plugins.register(kinds, "kinds")
    yield plugins
    plugins.unregister(kinds)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The file of a spec that needs the plugin, beside its dataset."""
    make_levels(tmp_path / "levels")
    data = experiment(
        Path("levels"),
        dataset={"format": "gray_levels", "path": "levels"},
        transforms={
            "train": [{"resize": [8, 8]}, {"random_darken": 40}],
            "val": [{"resize": [8, 8]}],
        },
    )
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    return tmp_path / "spec.yaml"


def complaint(spec: Path, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        isotune.load_spec(spec, overrides)
    return str(caught.value).replace(f"{spec.parent}{os.sep}", "")


def line(spec: Path, text: str) -> int:
    return next(n for n, row in enumerate(spec.read_text().splitlines(), 1) if text in row)


def test_fields_of_kinds_are_checked_like_all_others(plugins: Plugins, spec: Path) -> None:
    loaded = isotune.load_spec(spec, ["transforms.train.1.random_darken={most: 9, least: 3}"])
    assert loaded.transforms.train == (
        ResizeSpec(size=(8, 8)),
        RandomDarkenSpec(most=9, least=3),
    )
    assert isotune.load_spec(spec, ["dataset.side=4"]).dataset.side == 4  # type: ignore[attr-defined]
    place = f"spec.yaml:{line(spec, 'random_darken')}: transforms.train.1.random_darken"
    spec.write_text(spec.read_text().replace("random_darken: 40", "random_darken: 400"))
    assert complaint(spec) == f"{place} is 400, but should be at most 255."
    setting = "transforms.train.1={random_darken: {moss: 1}}"
    assert complaint(spec, setting) == (
        f"--set {setting}: transforms.train.1.random_darken.moss is not a known key."
        " Did you mean 'most'? Allowed are: name, most, least."
    )
    assert complaint(spec, "transforms.train.1=random_darken") == (
        "--set transforms.train.1=random_darken: transforms.train.1: random_darken needs its most,"
        " as in 'random_darken: VALUE'."
    )
    right = "transforms.train.1.random_darken=4"
    assert complaint(spec, right, "dataset.side=0") == (
        "--set dataset.side=0: dataset.side is 0, but should be at least 1."
    )
    message = complaint(spec, right, "dataset.format=gray_level")
    assert message.startswith(
        "--set dataset.format=gray_level: dataset.format is 'gray_level', but should be 'archive',"
    )
    assert message.endswith(
        "'folder', 'given', 'gray_levels', 'parquet', 'table' or 'webdataset'."
        " Did you mean 'gray_levels'?"
    )


def test_hook_isotune_transforms(plugins: Plugins, spec: Path) -> None:
    images = open_images(isotune.load_spec(spec))
    batches = images.training_batches(isotune.load_spec(spec))
    levels = [
        [(int(label), int(image.max())) for image, label in zip(b.images, b.labels, strict=True)]
        for b in batches.epoch(0)
    ]
    shifts = {(60, 250)[label] - level for batch in levels for label, level in batch}
    assert len(shifts) > 3
    assert shifts <= set(range(41))
    inverted = isotune.load_spec(spec, ["transforms.val=[invert, {resize: [8, 8]}]"])
    [batch] = images.validation_batches(inverted, 8).epoch(0)
    assert {int(image.max()) for image in batch.images} == {255 - 60, 255 - 250}
    assert complaint(spec, "transforms.train.1={invert: 3}") == (
        "--set transforms.train.1={invert: 3}: transforms.train.1 is {'invert': 3}, but should be"
        " 'invert: {OPTION: VALUE, ...}'."
    )


def test_hook_isotune_dataset_formats(plugins: Plugins, spec: Path, tmp_path: Path) -> None:
    """A run is stopped, resumed to the same bytes, opened and evaluated."""

    class Stop:
        def isotune_step_ended(self, event: StepEnded) -> None:
            if event.epoch == 2:
                raise KeyboardInterrupt

    arguments: dict[str, Any] = {"backend": "numpy", "plugins": plugins}
    whole = isotune.run(spec, output=tmp_path / "whole", **arguments)
    assert whole.classes == ("dark", "light")
    with pytest.raises((isotune.StoppedError, KeyboardInterrupt)):
        isotune.run(spec, output=tmp_path / "cut", observers=[Stop()], **arguments)
    again = isotune.resume(tmp_path / "cut", plugins=plugins)
    weights = [run.backend.state_adapter.export_model(run.model) for run in (whole, again)]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    opened = isotune.open_run(tmp_path / "cut", plugins=plugins)
    assert opened.spec.dataset == again.spec.dataset
    assert isinstance(opened.spec.dataset, GrayLevelsDataset)
    assert opened.evaluate().loss == whole.best.val_loss
    with pytest.raises(isotune.DatasetError, match=r"test\.txt: cannot be read"):
        opened.evaluate("test")

    (tmp_path / "levels").rename(tmp_path / "moved")
    changes = [f"dataset.path={tmp_path / 'moved'}", f"epochs={whole.spec.epochs + 1}"]
    more = isotune.resume(tmp_path / "cut", overrides=changes, plugins=plugins)
    assert len(more.history) == len(whole.history) + 1


def test_hook_isotune_schedules(plugins: Plugins, spec: Path, tmp_path: Path) -> None:
    """A run by one is written down and made longer."""
    overrides = ["schedule={name: halved, steps: 3}", "epochs=2"]
    run = isotune.run(
        spec, backend="numpy", plugins=plugins, output=tmp_path / "run", overrides=overrides
    )
    more = isotune.resume(tmp_path / "run", overrides=["epochs=3"], plugins=plugins)
    rates = [metrics.learning_rate for metrics in more.history]
    steps = [metrics.steps - 1 for metrics in more.history]
    assert rates == [run.spec.optimizer.lr / 2 ** (step // 3) for step in steps]
    assert complaint(spec, "schedule=halfed") == (
        "--set schedule=halfed: schedule 'halfed' is not known. Did you mean 'halved'? Known are:"
        " constant, cosine, halved, multi_step, one_cycle, reduce_on_plateau, step."
    )
    assert complaint(spec, "schedule={name: halved, steps: 0}") == (
        "--set schedule={name: halved, steps: 0}: schedule.steps is 0, but should be at least 1."
    )


def test_the_schema_and_the_reference_contain_them(plugins: Plugins, spec: Path) -> None:
    data = yaml.safe_load(spec.read_text())
    validator = jsonschema.Draft202012Validator(isotune.json_schema())
    validator.validate(data)
    validator.validate({**data, "transforms": {"val": ["invert", {"resize": [8, 8]}]}})
    for part, key, wrong in (("dataset", "side", 0), ("dataset", "format", "levels")):
        assert not validator.is_valid({**data, part: {**data[part], key: wrong}})
    wrong = {"train": [{"resize": [8, 8]}, {"random_darken": 400}]}
    assert not validator.is_valid({**data, "transforms": wrong})
    validator.validate({**data, "schedule": {"name": "halved", "steps": 3}})
    assert not validator.is_valid({**data, "schedule": {"name": "halved", "steps": 0}})
    text = reference()
    assert "### schedule: halved\n\nHalves the learning rate every so many steps.\n" in text
    assert "#### random_darken\n\nDarkens the image by a random number of levels." in text
    assert "| `most` | whole number at least 0 and at most 255 | required | Upper bound" in text
    assert "### dataset: gray_levels\n" in text
    assert "| `side` | whole number at least 1 | `8` | Pixels of an image's side. |" in text
    plugins.unregister(kinds)
    assert not jsonschema.Draft202012Validator(isotune.json_schema()).is_valid(data)


def test_a_plugin_that_is_removed_takes_its_kinds_along(plugins: Plugins, spec: Path) -> None:
    other = Plugins()
    other.register(kinds)
    plugins.unregister(kinds)
    assert isotune.load_spec(spec).dataset.format == "gray_levels"
    other.unregister(kinds)
    errors = complaint(spec).splitlines()
    assert errors[0].startswith(
        f"spec.yaml:{line(spec, 'gray_levels')}: dataset.format is 'gray_levels', but should be"
        " 'archive', 'cifar10', 'folder', 'given', 'parquet', 'table' or 'webdataset'."
    )
    assert "transforms.train.1: there is no transform 'random_darken'." in errors[1]


def test_features_after_a_plugin_transform_are_not_kept_for_later_runs(
    plugins: Plugins, tmp_path: Path
) -> None:
    source = FolderSource(make_images(tmp_path / "images"), "train")
    backend, cut = plugins.open_backend("numpy"), Cut("fc", frozenset())
    spec, images = isotune.load_spec(experiment(tmp_path)), Images(source, source, {})
    session = Session(spec, LINEAR, backend, images, TrainingPlan(spec.optimizer))

    def key(*pipeline: TransformSpec, **dataset: Any) -> str | None:
        changed = spec.model_copy(update={"dataset": spec.dataset.model_copy(update=dataset)})
        keys = FeatureKeys(replace(session, spec=changed), cut, {}, 4)
        return keys.key(Batches(source, pipeline, 4, seed=0, sampler=None), 0)

    eight = ResizeSpec(size=(8, 8))
    assert key(eight) is not None
    assert key(eight, InvertSpec()) is None
    assert key(eight, RandomApplySpec(transforms=(InvertSpec(),))) is None
    # The same bytes may be another image in another format, but not in another place.
    assert key(eight) == key(eight, path="elsewhere", broken="skip") != key(eight, format="other")


class Nameless(RandomDarkenSpec):
    name: str = "nameless"  # type: ignore[assignment]


class Abstract(TransformSpec):
    name: Literal["abstract"] = "abstract"


class Resize(RandomDarkenSpec):
    name: Literal["resize"] = "resize"  # type: ignore[assignment]


class Unopenable(DatasetSpec):
    format: Literal["unopenable"] = "unopenable"


class Folder(FolderDataset):
    format: Literal["folder"] = "folder"


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        ([Nameless], "Nameless.name should be a Literal of one string"),
        ([Abstract], "is not a concrete subclass of isotune.spec.transforms.TransformSpec"),
        (["resize"], "isotune_transforms offers 'resize', which is not a concrete subclass"),
        ([RandomDarkenSpec, Resize], "transform 'resize' is defined twice: by isotune.data"),
        (None, "'NoneType' object is not iterable"),
        ([Unopenable], "is not a concrete subclass of isotune.interfaces.dataset.DatasetFormat"),
        ([Folder], "dataset format 'folder' is defined twice: by isotune.data.sources.folder"),
    ],
)
def test_wrong_kinds_are_refused_and_leave_nothing(offered: Any, reason: str) -> None:
    class Transforms:
        @hookimpl
        def isotune_transforms(self) -> Any:
            return offered

    class Formats:
        @hookimpl
        def isotune_dataset_formats(self) -> Any:
            return offered

    formats = bool(offered) and isinstance(offered[0], type) and issubclass(offered[0], DatasetSpec)
    plugins = Plugins()
    with pytest.raises(BackendError, match=reason):
        plugins.register(Formats() if formats else Transforms())
    with pytest.raises(SpecError, match="there is no transform 'random_darken'"):
        isotune.load_spec("ants-and-bees", ["transforms.train.0={random_darken: 3}"])
    plugins.register(kinds)
    plugins.unregister(kinds)


BROKEN = """
from isotune import hookimpl
@hookimpl
def isotune_transforms(): return [3]
"""


def test_installed_extensions_are_known_wherever_a_spec_is_checked(
    spec: Path, tmp_path: Path
) -> None:
    about = tmp_path / "isotune_kinds_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: isotune-kinds\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[isotune.extensions]\nbroken = broken\nkinds = kinds\nmissing = no_such_module\n"
    )
    (tmp_path / "broken.py").write_text(BROKEN)

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(
            [str(tmp_path), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        )
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "'no_such_module'" in done.stderr
        assert "isotune_transforms offers 3" in done.stderr
        return done

    from_spec_alone = "from isotune.spec.load import load_spec; print(load_spec('spec.yaml'))"
    assert "random_darken" in python("-c", from_spec_alone).stdout
    assert "random_darken" in python("-c", "from isotune.cli import main; main()", "schema").stdout
