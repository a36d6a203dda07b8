"""Images, labels, a model and functions that a program gives a run, on every backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import isotune
from isotune.errors import (
    DatasetError,
    IsotuneError,
    RunError,
    SpecError,
    StoppedError,
    WeightsError,
)
from tiny import make_images, numpy_plugins

SPEC: dict[str, Any] = {
    "name": "given",
    "transforms": {
        "train": [{"random_crop": {"size": 8, "padding": 1}}],
        "val": [{"resize": [8, 8]}],
    },
    "batch_size": 4,
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    "epochs": 3,
}
LINEAR = {"backbone": {"name": "linear", "weights": "none"}}
CLASSES = ("dark", "bright")


def some_images(count: int, seed: int) -> list[tuple[NDArray[np.uint8], str]]:
    """Returns arrays of 8 x 8 pixels, dark and bright ones in turn."""
    random = np.random.default_rng(seed)
    return [
        ((random.random((8, 8, 3)) * 100 + 120 * (index % 2)).astype(np.uint8), CLASSES[index % 2])
        for index in range(count)
    ]


TRAIN, VAL = some_images(12, 0), some_images(6, 1)


def numpy_run(output: Path, **arguments: Any) -> isotune.Run:
    spec = {**SPEC, **LINEAR, **arguments.pop("changes", {})}
    where = {"backend": "numpy", "plugins": numpy_plugins(), "progress": False}
    return isotune.run(spec, output=output, **where, **arguments)


class Dataset:
    """Images as torchvision's datasets have them: numbers, ``classes`` and ``targets``."""

    classes = ("bright", "dark")
    asked = 0

    def __init__(self, pairs: list[tuple[NDArray[np.uint8], str]]) -> None:
        self._pairs = pairs
        self.targets = [self.classes.index(name) for _, name in pairs]

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        self.asked += 1
        return Image.fromarray(self._pairs[index][0]), self.targets[index]


def test_images_in_memory_train_as_files_of_them_do(tmp_path: Path) -> None:
    given = numpy_run(tmp_path / "given", train=TRAIN, val=VAL)
    for split, pairs in (("train", TRAIN), ("val", VAL)):
        for index, (pixels, name) in enumerate(pairs):
            file = tmp_path / "files" / split / name / f"{index:02d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    paths = [(path, path.parent.name) for path in sorted((tmp_path / "files/train").rglob("*.png"))]
    ordered = sorted(TRAIN, key=lambda pair: pair[1])
    by_path = numpy_run(tmp_path / "paths", train=paths, val=VAL)
    by_array = numpy_run(tmp_path / "arrays", train=ordered, val=VAL)
    of_dataset = numpy_run(tmp_path / "dataset", train=Dataset(ordered), val=Dataset(VAL))
    folder = {"dataset": {"path": str(tmp_path / "files")}}
    from_files = numpy_run(tmp_path / "folder", changes=folder)
    losses = [epoch.train_loss for epoch in from_files.history]
    for same in (by_path, by_array, of_dataset):
        assert [epoch.train_loss for epoch in same.history] == losses
    assert given.classes == ("bright", "dark")
    assert given.evaluate().accuracy == given.best.val_accuracy
    assert given.predict(VAL[0][0])[0][0] == "dark"


def classes_of(run: isotune.Run, split: str) -> list[str]:
    source = run.open_images(split)
    return [source.classes[label] for label in source.labels]


def test_numbers_count_the_classes_of_their_own_dataset(tmp_path: Path) -> None:
    class Swapped(Dataset):
        """The labels of its items are others than its targets."""

        @staticmethod
        def target_transform(label: int) -> int:
            return 1 - label

        def __getitem__(self, index: int) -> tuple[Image.Image, int]:
            image, label = super().__getitem__(index)
            return image, self.target_transform(label)

    class Reversed(Dataset):
        classes = ("dark", "bright")

    numbers = [(image, Dataset.classes.index(name)) for image, name in VAL]
    names = [name for _, name in VAL]
    for place, val in enumerate((Reversed(VAL), numbers, VAL)):
        run = numpy_run(tmp_path / str(place), train=Dataset(TRAIN), val=val)
        assert run.classes == ("bright", "dark")
        assert classes_of(run, "val") == names
        assert run.evaluate().accuracy == run.best.val_accuracy == 1
    swapped = numpy_run(tmp_path / "swapped", train=Swapped(TRAIN), val=VAL)
    assert classes_of(swapped, "train") == [CLASSES[name == "dark"] for _, name in TRAIN]
    named = numpy_run(tmp_path / "named", train=numbers, val=numbers, classes=["light", "dark"])
    assert named.classes == ("light", "dark")


def test_a_dataset_of_torchvision_is_what_its_folder_is(tmp_path: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    images = make_images(tmp_path / "images")
    train, val = (datasets.ImageFolder(images / split) for split in ("train", "val"))
    given = numpy_run(tmp_path / "given", train=train, val=val)
    folder = numpy_run(tmp_path / "folder", changes={"dataset": str(images)})
    assert [each.train_loss for each in given.history] == [
        each.train_loss for each in folder.history
    ]
    assert given.evaluate(data=images).accuracy == folder.evaluate().accuracy
    again = isotune.run(  # the spec of the run, which says that its images were given
        given.spec,
        train=train,
        val=val,
        backend="numpy",
        plugins=numpy_plugins(),
        output=tmp_path / "again",
        progress=False,
    )
    assert again.best.val_loss == given.best.val_loss


def test_what_the_folder_alone_can_do(tmp_path: Path) -> None:
    numpy_run(tmp_path / "run", train=TRAIN, val=VAL)
    where = {"backend": "numpy", "plugins": numpy_plugins()}
    opened = isotune.open_run(tmp_path / "run", **where)
    assert opened.predict(VAL[0][0])[0][0] == "dark"
    with pytest.raises(DatasetError, match=r"given in code, and are not in the run folder"):
        opened.evaluate()
    again = isotune.open_run(tmp_path / "run", train=TRAIN, val=VAL, **where)
    assert again.evaluate().accuracy == again.best.val_accuracy


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = numpy_run(tmp_path / "whole", train=TRAIN, val=VAL)
    epochs: list[int] = []

    def stop(event: Any) -> None:
        epochs.append(event.metrics.epoch)
        event.stop.request("enough")

    with pytest.raises(StoppedError):
        numpy_run(tmp_path / "half", train=TRAIN, val=VAL, on_epoch_ended=stop)
    assert epochs == [1]
    where = {"backend": "numpy", "plugins": numpy_plugins(), "progress": False}
    with pytest.raises(
        DatasetError, match=r"open_run\(folder, train=..., val=...\), or isotune.resume"
    ):
        isotune.resume(tmp_path / "half", **where)
    swapped = [*TRAIN[:-1], (TRAIN[-1][0] + np.uint8(1), TRAIN[-1][1])]
    with pytest.raises(RunError, match=r"train"):
        isotune.resume(tmp_path / "half", train=swapped, val=VAL, **where)
    resumed = isotune.resume(tmp_path / "half", train=TRAIN, val=VAL, **where)
    state = whole.backend.state_adapter.export_model(whole.model)
    other = resumed.backend.state_adapter.export_model(resumed.model)
    assert all(np.array_equal(state[name], other[name]) for name in state)


def test_images_to_train_on_can_be_divided(tmp_path: Path) -> None:
    run = numpy_run(tmp_path / "run", train=TRAIN, changes={"dataset": {"split": {"val": 0.5}}})
    assert len(run.evaluate().labels) == 6


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"train": TRAIN}, r"val: is missing; give images to validate on"),
        ({"val": VAL}, r"train: is missing"),
        ({"train": "images", "val": VAL}, r"train: is of type str"),
        ({"train": 3, "val": VAL}, r"train: is of type int"),
        ({"train": [], "val": VAL}, r"train: has no image"),
        (
            {"train": [TRAIN[0][0]], "val": VAL},
            r"train\[0\]: is of type ndarray",
        ),
        (
            {"train": [*TRAIN, (TRAIN[0][0], 0.5)], "val": VAL},
            r"train\[12\]: its label is of",
        ),
        (
            {"train": TRAIN, "val": [(VAL[0][0], "cat")]},
            r"val\[0\]: its label is 'cat'",
        ),
        ({"train": [*TRAIN, (TRAIN[0][0], 2)], "val": VAL}, r"train\[12\]: its label is 2, but"),
        (
            {"train": [*TRAIN, (3, "dark")], "val": VAL},
            r"train\[12\]: is of type int, but",
        ),
        ({"train": TRAIN, "val": VAL, "classes": "ab"}, r"classes: is the text 'ab'"),
        (
            {"train": TRAIN, "val": VAL, "classes": ["dark", "bright", "dark"]},
            r"classes: has the name 'dark' twice",
        ),
        ({"train": TRAIN, "val": VAL, "processes": 2}, r"processes: others would have neither"),
        ({"train": TRAIN, "val": VAL, "on_epoch_end": print}, r"Did you mean 'on_epoch_ended'"),
        (
            {"train": TRAIN, "val": VAL, "on_epoch_ended": 3},
            r"on_epoch_ended: is 3",
        ),
        (
            {"train": TRAIN, "val": VAL, "changes": {"dataset": "x"}},
            r"dataset: the spec names",
        ),
        ({"train": TRAIN, "val": VAL, "model": object()}, r"model and classifier: belong together"),
    ],
)
def test_what_is_refused(tmp_path: Path, arguments: dict[str, Any], sentence: str) -> None:
    if "processes" in arguments:  # which take the installed plugins
        spec = {**SPEC, **LINEAR}
        with pytest.raises(IsotuneError, match=sentence):
            isotune.run(spec, backend="torch", output=tmp_path / "run", progress=False, **arguments)
        return
    with pytest.raises(IsotuneError, match=sentence):
        numpy_run(tmp_path / "run", **arguments)


def torch_net() -> Any:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.norm = torch.nn.BatchNorm2d(4)
            self.fc = torch.nn.Linear(4, 1000)

        def forward(self, x: Any) -> Any:
            return self.fc(torch.relu(self.norm(self.conv(x))).mean((2, 3)))

    torch.manual_seed(3)
    return Net()


def mindspore_net() -> Any:
    ms = pytest.importorskip("mindspore")

    class Net(ms.nn.Cell):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv = ms.nn.Conv2d(3, 4, 3, pad_mode="pad", padding=1, has_bias=True)
            self.norm = ms.nn.BatchNorm2d(4)
            self.fc = ms.nn.Dense(4, 1000)

        def construct(self, x: Any) -> Any:
            return self.fc(ms.ops.relu(self.norm(self.conv(x))).mean((2, 3)))

    return Net()


NETS = {"torch": torch_net, "mindspore": mindspore_net}


@pytest.fixture(params=NETS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    pytest.importorskip(request.param)
    yield request.param


def test_a_model_of_ones_own_trains_from_its_weights(tmp_path: Path, backend: str) -> None:
    net = NETS[backend]()
    adapter = isotune.plugins.plugins.open_backend(backend, "cpu").state_adapter
    before = {name: value.copy() for name, value in adapter.export_model(net).items()}
    arguments = {"train": TRAIN, "val": VAL, "classifier": "fc", "backend": backend}
    frozen = {**SPEC, "freeze": "backbone"}
    run = isotune.run(frozen, output=tmp_path / "run", model=net, progress=False, **arguments)
    after = adapter.export_model(run.model)
    assert after["fc.weight"].shape == (2, 4)
    assert all(np.array_equal(after[name], before[name]) for name in before if "fc" not in name)
    with pytest.raises(SpecError, match=r"the run's model was given in code"):
        isotune.open_run(tmp_path / "run", backend=backend)
    opened = isotune.open_run(
        tmp_path / "run", model=NETS[backend](), classifier="fc", backend=backend
    )
    images = [pixels for pixels, _ in VAL]
    assert opened.predict(images) == run.predict(images)
    for other, make in NETS.items():  # the same architecture with the same names
        there = isotune.open_run(tmp_path / "run", model=make(), classifier="fc", backend=other)
        mine, theirs = run.predict(images), there.predict(images)
        assert [each[0][0] for each in mine] == [each[0][0] for each in theirs]
        assert np.allclose(
            [each[0][1] for each in mine], [each[0][1] for each in theirs], atol=1e-5
        )


def test_a_file_is_exported_from_a_folder_whose_images_and_model_were_given(
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnx")
    given: dict[str, Any] = {
        "model": torch_net(),
        "classifier": "fc",
        "backend": "torch",
        "device": "cpu",
    }
    isotune.run(
        {**SPEC, "epochs": 1},
        train=TRAIN,
        val=VAL,
        output=tmp_path / "run",
        progress=False,
        **given,
    )
    opened = isotune.open_run(tmp_path / "run", **given)
    target = tmp_path / "net.onnx"
    with pytest.raises(DatasetError, match=r"--data DIR takes others"):
        isotune.export(opened, target)
    for index, (pixels, name) in enumerate(VAL):
        file = tmp_path / "images" / "val" / name / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    report = isotune.export(opened, target, data=tmp_path / "images").report
    assert report is not None
    assert report.images == len(VAL)


def test_all_that_was_given_is_given_again(tmp_path: Path, backend: str) -> None:
    """Images and a model, stopped and resumed, end with the bytes of a run without a stop."""
    nets, spec = [NETS[backend]() for _ in range(3)], {**SPEC, "epochs": 2}
    adapter = isotune.plugins.plugins.open_backend(backend, "cpu").state_adapter
    adapter.import_model(nets[1], adapter.export_model(nets[0]))
    images: dict[str, Any] = {"train": TRAIN, "val": VAL, "progress": False, "backend": backend}
    whole = isotune.run(
        spec, output=tmp_path / "whole", model=nets[0], classifier="fc", device="cpu", **images
    )
    with pytest.raises(StoppedError):
        isotune.run(
            spec,
            output=tmp_path / "half",
            model=nets[1],
            classifier="fc",
            device="cpu",
            on_epoch_ended=lambda event: event.stop.request("enough"),
            **images,
        )
    with pytest.raises(SpecError, match=r"the run's model was given in code"):
        isotune.resume(tmp_path / "half", device="cpu", **images)
    events: list[str] = []
    resumed = isotune.resume(
        tmp_path / "half",
        model=nets[2],
        classifier="fc",
        device="cpu",
        on_run_started=lambda event: events.append("started"),
        on_step_ended=lambda event: events.append("step"),
        on_run_finished=lambda event: events.append("finished"),
        on_run_ended=lambda event: events.append("ended"),
        **images,
    )
    assert events == ["started", *["step"] * 3, "finished", "ended"]
    weights, others = (
        [file.read_bytes() for file in sorted(run.path.glob("checkpoints/*/*.safetensors"))]
        for run in (whole, resumed)
    )
    assert len(weights) > 1  # the model and its optimizer, which has momentum
    assert weights == others


@pytest.mark.parametrize(
    ("model", "classifier", "sentence"),
    [
        (lambda net: object(), "fc", r"nn\.(Module|Cell)"),
        (lambda net: net, "head", r"head"),
        (lambda net: net, "conv", r"conv"),
    ],
)
def test_a_model_that_cannot_be(
    tmp_path: Path, backend: str, model: Any, classifier: str, sentence: str
) -> None:
    with pytest.raises(IsotuneError, match=sentence):
        isotune.run(
            SPEC,
            train=TRAIN,
            val=VAL,
            model=model(NETS[backend]()),
            classifier=classifier,
            backend=backend,
            output=tmp_path / "run",
            progress=False,
        )


def test_the_spec_leaves_out_what_is_given(tmp_path: Path) -> None:
    files = {"dataset": str(make_images(tmp_path / "images"))}
    with pytest.raises(SpecError, match="backbone: the spec names one"):
        isotune.run({**SPEC, **LINEAR, **files}, model=object(), classifier="fc", progress=False)
    own = {"backbone": {"name": "linear", "weights": "own"}}
    with pytest.raises(WeightsError, match="'own' are those of a model that a program or a plugin"):
        numpy_run(tmp_path / "run", train=TRAIN, val=VAL, changes=own)
