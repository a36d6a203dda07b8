"""What a person reads who gets something wrong: the exact sentences.

Each says what is wrong, where, what was found, what is allowed and, for a typo, what was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import isotune
from isotune.catalogue.entries import catalogue
from isotune.errors import IsotuneError
from isotune.metrics import METRICS
from isotune.spec.dataset import DATASET_FORMATS
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import load_spec
from isotune.spec.transforms import TRANSFORMS
from tiny import make_images, numpy_plugins

SPEC = """\
name: ants
dataset:
  path: images
transforms:
  train: [{random_resized_crop: 8}, random_horizontal_flip]
  val: [{resize: 10}, {center_crop: 8}]
batch_size: 4
backbone: {name: linear, weights: none}
freeze: {parameters: [fc.bias]}
optimizer: {name: sgd, lr: 0.001, momentum: 0.9}
schedule: {name: step, every: 5}
epochs: 1
"""
KEYS = ", ".join(ExperimentSpec.model_fields)


def one_of(names: Iterable[str]) -> str:
    *others, last = (f"'{name}'" for name in names)
    return f"{', '.join(others)} or {last}"


TRANSFORM_NAMES = ", ".join(TRANSFORMS.names())
BACKBONES = ", ".join(sorted([*catalogue(()), "linear"]))

# In SPEC, replace what is on the left by what is on the right; loading then says the sentence.
LOADING = {
    "unknown key, near miss": (
        "momentum",
        "momentun",
        "ants.yaml:10: optimizer.momentun is not a known key. Did you mean 'momentum'? "
        "Allowed are: name, lr, momentum, nesterov, weight_decay, no_decay, lr_decay_per_stage, "
        "lr_decay_per_block.",
    ),
    "unknown key": (
        "epochs: 1",
        "epochs: 1\ngpu: 0",
        f"ants.yaml:13: gpu is not a known key. Allowed are: {KEYS}.",
    ),
    "balanced twice": (
        "epochs: 1",
        "epochs: 1\nsampler: balanced\nloss: {class_weights: balanced}",
        "ants.yaml:14: loss: class_weights: balanced and sampler: balanced would count rare "
        "classes twice; keep one of them.",
    ),
    "two unknown keys": (
        "lr: 0.001",
        "rate: 1, Lr: 0.001",
        "ants.yaml:10: optimizer.rate is not a known key. Allowed are: name, lr, "
        "momentum, nesterov, weight_decay, no_decay, lr_decay_per_stage, lr_decay_per_block.\n"
        "ants.yaml:10: optimizer.Lr is not a known key. Did you mean 'lr'? Allowed are: "
        "name, lr, momentum, nesterov, weight_decay, no_decay, lr_decay_per_stage, "
        "lr_decay_per_block.",
    ),
    "missing key": (
        "epochs: 1\n",
        "",
        "ants.yaml:1: epochs is missing.",
    ),
    "missing nested key": (
        "step, every: 5",
        "step",
        "ants.yaml:11: schedule.every is missing.",
    ),
    "missing key of a shorthand": (
        "{name: step, every: 5}",
        "step",
        "ants.yaml:11: schedule.every is missing.",
    ),
    "wrong type": (
        "batch_size: 4",
        "batch_size: four",
        "ants.yaml:7: batch_size is 'four', but should be a whole number.",
    ),
    "number in quotes": (
        "batch_size: 4",
        "batch_size: '4'",
        "ants.yaml:7: batch_size is '4', but should be a whole number.",
    ),
    "mapping needed": (
        "path: images",
        "",
        "ants.yaml:2: dataset is null, but should be a mapping.",
    ),
    "out of range": (
        "lr: 0.001",
        "lr: -1e-3",
        "ants.yaml:10: optimizer.lr is -0.001, but should be above 0.",
    ),
    "negative epochs": (
        "epochs: 1",
        "epochs: -1",
        "ants.yaml:12: epochs is -1, but should be at least 1.",
    ),
    "unknown optimizer": (
        "sgd",
        "sdg",
        "ants.yaml:10: optimizer 'sdg' is not known. Did you mean 'sgd'? Known are: "
        "sgd, adam, adamw.",
    ),
    "unnamed optimizer": (
        "name: sgd, ",
        "",
        "ants.yaml:10: optimizer has no name. Known are: sgd, adam, adamw.",
    ),
    "unknown word": (
        "[fc.bias]",
        "backbon",
        "ants.yaml:9: freeze.parameters is 'backbon', but should be 'none', 'backbone' "
        "or a list. Did you mean 'backbone'?",
    ),
    "unknown head": (
        "epochs: 1",
        "epochs: 1\nhead: mpl",
        "ants.yaml:13: head 'mpl' is not known. Did you mean 'mlp'? Known are: linear, mlp.",
    ),
    "key of another head": (
        "epochs: 1",
        "epochs: 1\nhead: {name: linear, hidden: [4]}",
        "ants.yaml:13: head.hidden is not a known key. Allowed are: name, outputs.",
    ),
    "empty layer": (
        "epochs: 1",
        "epochs: 1\nhead: {name: mlp, hidden: [8, 0]}",
        "ants.yaml:13: head.hidden.1 is 0, but should be at least 1.",
    ),
    "unknown activation": (
        "epochs: 1",
        "epochs: 1\nhead: {name: mlp, activation: rely}",
        "ants.yaml:13: head.activation is 'rely', but should be 'relu', 'gelu', 'silu' or 'tanh'."
        " Did you mean 'relu'?",
    ),
    "mixing by no rule": (
        "epochs: 1",
        "epochs: 1\nmixing: {probability: 0.5}",
        "ants.yaml:13: mixing is {'probability': 0.5}, but should have mixup, cutmix or both,"
        " as in {mixup: 0.2}.",
    ),
    "mixing of single images": (
        "batch_size: 4",
        "batch_size: 1\nmixing: {mixup: 0.2}",
        "ants.yaml:8: mixing: mixes images of the same batch, but batch_size is 1.",
    ),
    "views of mixed images": (
        "epochs: 1",
        "epochs: 1\nmixing: {cutmix: 1}\ncache: {views: 2}",
        "ants.yaml:14: cache: views is 2, but features of images that are mixed anew in every step"
        " cannot be cached; leave out views or mixing.",
    ),
    "single output without its loss": (
        "epochs: 1",
        "epochs: 1\nhead: {name: mlp, outputs: single}",
        "ants.yaml:13: head: a single output needs loss: binary_cross_entropy.",
    ),
    "nesterov": (
        "momentum: 0.9",
        "nesterov: true",
        "ants.yaml:10: optimizer: nesterov needs a momentum above 0.",
    ),
    "two decays of the learning rate": (
        "momentum: 0.9",
        "lr_decay_per_stage: 0.5, lr_decay_per_block: 0.5",
        "ants.yaml:10: optimizer: lr_decay_per_stage and lr_decay_per_block are two scales of the "
        "same rates; keep one of them.",
    ),
    "unfreeze nothing": (
        "parameters: [fc.bias]",
        "unfreeze: {3: all}",
        "ants.yaml:9: freeze: unfreeze needs something frozen, but parameters is 'none'.",
    ),
    "unfreeze in epoch 1": (
        "[fc.bias]",
        "[fc.bias], unfreeze: {1: all}",
        "ants.yaml:9: freeze.unfreeze.1 is '1', but should be the number of an epoch, 2 at least.",
    ),
    "best weights in no format": (
        "epochs: 1",
        "epochs: 1\ncheckpoint: {save_best_as: best.h5}",
        "ants.yaml:13: checkpoint.save_best_as is 'best.h5', but should be the name of a file, "
        "without folders, that ends in .safetensors, .pth or .ckpt.",
    ),
    "best weights elsewhere": (
        "epochs: 1",
        "epochs: 1\ncheckpoint: {save_best_as: ../best.ckpt}",
        "ants.yaml:13: checkpoint.save_best_as is '../best.ckpt', but should be the name of a "
        "file, without folders, that ends in .safetensors, .pth or .ckpt.",
    ),
    "a checkpoint every no step": (
        "epochs: 1",
        "epochs: 1\ncheckpoint: {every_steps: 0}",
        "ants.yaml:13: checkpoint.every_steps is 0, but should be at least 1.",
    ),
    "unknown metric": (
        "epochs: 1",
        "epochs: 1\nmetrics: [accuracy, macro_f2]",
        f"ants.yaml:13: metrics.1 is 'macro_f2', but should be {one_of(METRICS)}."
        " Did you mean 'macro_f1'?",
    ),
    "unknown metric to monitor": (
        "epochs: 1",
        "epochs: 1\ncheckpoint:\n  monitor: val_acuracy",
        "ants.yaml:14: checkpoint.monitor is 'val_acuracy', but should be"
        f" {one_of(f'val_{name}' for name in METRICS)}. Did you mean 'val_accuracy'?",
    ),
    "a metric to monitor that is not computed": (
        "epochs: 1",
        "epochs: 1\nmetrics: [macro_f1]\nearly_stopping: {monitor: val_roc_auc}",
        "ants.yaml:14: early_stopping.monitor is 'val_roc_auc', but should be 'val_loss', "
        "'val_accuracy' or 'val_macro_f1' (or add roc_auc to metrics).",
    ),
    "unknown transform": (
        "random_resized_crop",
        "random_resize_crop",
        "ants.yaml:5: transforms.train.0: there is no transform 'random_resize_crop'. "
        f"Did you mean 'random_resized_crop'? Known are: {TRANSFORM_NAMES}.",
    ),
    "unknown option": (
        "crop: 8}, r",
        "crop: {size: 8, scales: 1}}, r",
        "ants.yaml:5: transforms.train.0.random_resized_crop.scales is not a known "
        "key. Did you mean 'scale'? Allowed are: size, name, scale, ratio, "
        "interpolation.",
    ),
    "impossible value": (
        "{center_crop: 8}",
        "{center_crop: -8}",
        "ants.yaml:6: transforms.val.1.center_crop is -8, but should be a whole number "
        "of pixels above 0, or [height, width].",
    ),
    "no fixed size": (
        "{center_crop: 8}",
        "random_vertical_flip",
        "ants.yaml:6: transforms.val is [{'resize': 10}, 'random_vertical_flip'], but "
        "should end in images of one size: add center_crop, letterbox, random_crop, "
        "random_resized_crop or resize: {size: [height, width]}.",
    ),
    "a size that only some images have": (
        "{center_crop: 8}",
        "{letterbox: 8}, {random_apply: [{pad: 1}]}",
        "ants.yaml:6: transforms.val is [{'resize': 10}, {'letterbox': 8}, {'random_apply': "
        "[{...}]}], but should end in images of one size, and random_apply at val.2 makes "
        "their sizes differ: add center_crop, letterbox, random_crop, random_resized_crop or "
        "resize: {size: [height, width]}.",
    ),
    "in a nested transform": (
        "{center_crop: 8}",
        "{center_crop: 8}, {random_apply: [grayscale, {gaussian_blur: {kernel_size: 4}}]}",
        "ants.yaml:6: transforms.val.2.random_apply.1.gaussian_blur.kernel_size is 4, but "
        "should be an odd number of pixels, or [across, down].",
    ),
    "not a folder's name": (
        "name: ants",
        "name: ants & bees",
        "ants.yaml:1: name is 'ants & bees', but should be text of letters, digits, "
        "'.', '_' and '-', as it names the run folder.",
    ),
    "not an address": (
        "path: images",
        "path: images\n  url: ftp://user:secret@ants/x?secret",
        "ants.yaml:4: dataset.url is 'ftp://ants/x', but should be an http:// or https:// address.",
    ),
    "unknown format": (
        "path: images",
        "path: images\n  format: foldr",
        "ants.yaml:4: dataset.format is 'foldr', but should be"
        f" {one_of(DATASET_FORMATS.names())}. Did you mean 'folder'?",
    ),
    "key of no format": (
        "path: images",
        "path: images\n  side: 8",
        "ants.yaml:4: dataset.side is not a known key. Allowed are: format, path, url, sha256,"
        " splits, split, fold, broken, duplicates, check, max_pixels.",
    ),
    "sizes of two kinds": (
        "path: images",
        "path: images\n  split: {val: 0.2, test: 10}",
        "ants.yaml:4: dataset.split: sizes of splits should all be counts or all be fractions, not"
        " val 0.2, test 10.",
    ),
    "more than there is": (
        "path: images",
        "path: images\n  split: {val: 0.6, test: 0.5}",
        "ants.yaml:4: dataset.split: fractions of splits should sum to at most 1, not val 0.6,"
        " test 0.5.",
    ),
    "nothing left to train on": (
        "path: images",
        "path: images\n  split: {val: 0.9, test: 0.1}",
        "ants.yaml:4: dataset.split: val 0.9, test 0.1 leave no image for train.",
    ),
    "no size": (
        "path: images",
        "path: images\n  split: {val: 0}",
        "ants.yaml:4: dataset.split.val is 0, but should be a number of images of each class, such"
        " as 100, or a fraction of them, such as 0.2.",
    ),
    "divided and split": (
        "path: images",
        "path: images\n  split: {val: 0.2}\n  splits: {val: test}",
        "ants.yaml:2: dataset: split divides a dataset into train, val and test, so splits can name"
        " no others; leave out one of them.",
    ),
    "duplicate key": (
        "epochs: 1",
        "epochs: 1\nbatch_size: 8",
        "ants.yaml:13: batch_size is set twice; it was already set on line 7.",
    ),
    "invalid YAML": (
        "[fc.bias]}",
        "[fc.bias}",
        "ants.yaml:9: is not valid YAML: expected ',' or ']', but got '}'.",
    ),
    "only a word": (
        SPEC,
        "ants",
        "ants.yaml: should be a mapping with keys such as 'dataset'.",
    ),
    "empty": (
        SPEC,
        "# nothing\n",
        "ants.yaml: is empty; an experiment spec was expected.",
    ),
}

SETTING = {
    "no equals sign": (
        "optimizer.lr",
        "--set optimizer.lr: should look like --set optimizer.lr=0.01.",
    ),
    "no key": (
        "=3",
        "--set =3: should look like --set optimizer.lr=0.01.",
    ),
    "unknown key": (
        "optimiser.lr=1",
        "--set optimiser.lr=1: optimiser is not a known key. Did you mean 'optimizer'? "
        f"Allowed are: {KEYS}.",
    ),
    "wrong value": (
        "epochs=many",
        "--set epochs=many: epochs is 'many', but should be a whole number.",
    ),
    "inside of a number": (
        "epochs.first=1",
        "--set epochs.first=1: epochs is 1, so nothing can be set inside of it.",
    ),
    "position too high": (
        "transforms.train.2=rotation",
        "--set transforms.train.2=rotation: transforms.train is a list of 2, so '2' "
        "should be a position in it, counted from 0.",
    ),
}


# Some wrong settings only show when the run begins: what to set, then the sentence.
RUNNING = {
    "unknown backbone": (
        "backbone.name=linaer",
        "there is no backbone 'linaer'. Did you mean 'linear'? Known are: {BACKBONES}.",
    ),
    "backbone of others": (
        "backbone.name=resnet18",
        "backend 'numpy' does not have backbone 'resnet18'; it has: linear.",
    ),
    "missing dataset": (
        "dataset.path=photos",
        "dataset.path: ROOT/home/datasets/photos: there is no such dataset folder, and the spec"
        " names no dataset.url to download it from. Nor is there a photos beside the spec.",
    ),
    "missing split": (
        "dataset.splits.val=vall",
        "ROOT/images: has no split 'vall'. Did you mean 'val'? It has: train, val. dataset.splits"
        " names the folders to train and to validate on.",
    ),
    "missing weights": (
        "backbone.weights=ROOT/ants.pth",
        "backbone.weights: there are no weights 'ROOT/ants.pth'. Looked for ROOT/ants.pth."
        " Published weights of linear: none.",
    ),
    "freeze pattern": (
        "freeze.parameters=[fc.biass]",
        "freeze.parameters: 'fc.biass' matches no parameter. Did you mean 'fc.bias'?"
        " Parameters are named like fc.weight and fc.bias. Stages are: stem, head.",
    ),
    "unfreeze pattern": (
        "freeze.unfreeze.2=[layer4]",
        "freeze.unfreeze.2: 'layer4' matches no parameter."
        " Parameters are named like fc.weight and fc.bias. Stages are: stem, head.",
    ),
    "all frozen": (
        "freeze.parameters=['*']",
        "freeze.parameters: freezes every parameter; nothing is left to train.",
    ),
    "weight of an unknown class": (
        "loss.class_weights={ant: 1, bees: 1, cats: 1}",
        "loss.class_weights: 'ant' is not a class of the dataset. Did you mean 'ants'?"
        " Its classes are: ants, bees, cats.",
    ),
    "class without a weight": (
        "loss.class_weights={ants: 1, bees: 1}",
        "loss.class_weights: has no weight for cats.",
    ),
    "no training batch": (
        "batch_size=10; drop_last=true",
        "batch_size: is 10, but there are only 9 training images and drop_last leaves out a"
        " short batch.",
    ),
}


def empty_class(root: Path) -> None:
    for image in (root / "images/train/bees").iterdir():
        image.unlink()


def broken_image(root: Path) -> None:
    (root / "images/train/bees/1.png").write_bytes(b"not an image")


def other_classes(root: Path) -> None:
    (root / "images/val/bees").rename(root / "images/val/wasps")


def used_folder(root: Path) -> None:
    (root / "run").mkdir()
    (root / "run/thesis.txt").touch()


ON_DISK = {
    empty_class: "ROOT/images/train: no image in class 'bees'; names of images end in .jpg,",
    broken_image: "ROOT/images/train/bees/1.png: ",
    other_classes: "ROOT/images/val: its class folders should be those of training, but it lacks"
    " 'bees' and it has 'wasps' beside them.",
    used_folder: "ROOT/run: is there already; name a new or empty folder.",
}

CALLS = {
    "unknown backend": (
        {"backend": "numpi"},
        "there is no backend 'numpi'. Did you mean 'numpy'? Found are: mindspore, numpy, torch.",
    ),
    "absent device": (
        {"device": "cuda:1"},
        "device 'cuda:1' is not there for backend 'numpy'. Present are: cpu (or auto).",
    ),
    "mistyped device": (
        {"device": "cqu"},
        "device 'cqu' is not there for backend 'numpy'. Did you mean 'cpu'?"
        " Present are: cpu (or auto).",
    ),
}


def told(call: Callable[[], object], root: Path) -> str:
    with pytest.raises(IsotuneError) as caught:
        call()
    return str(caught.value).replace(f"{root}/ants.yaml", "ants.yaml").replace(str(root), "ROOT")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ants.yaml and its images."""
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    make_images(tmp_path / "images")
    (tmp_path / "ants.yaml").write_text(SPEC)
    return tmp_path


def run(root: Path, *overrides: str, **arguments: str) -> object:
    call = {"backend": "numpy", "output": root / "run", "plugins": numpy_plugins(), **arguments}
    return isotune.run(root / "ants.yaml", overrides=overrides, **call)


@pytest.mark.parametrize("case", LOADING)
def test_loading(case: str, tmp_path: Path) -> None:
    before, after, sentence = LOADING[case]
    assert before in SPEC
    file = tmp_path / "ants.yaml"
    file.write_text(SPEC.replace(before, after, 1))
    assert told(lambda: load_spec(file), tmp_path) == sentence


@pytest.mark.parametrize("case", SETTING)
def test_setting(case: str, tmp_path: Path) -> None:
    override, sentence = SETTING[case]
    (tmp_path / "ants.yaml").write_text(SPEC)
    assert told(lambda: load_spec(tmp_path / "ants.yaml", [override]), tmp_path) == sentence


@pytest.mark.parametrize("case", RUNNING)
def test_running(case: str, root: Path) -> None:
    setting, sentence = RUNNING[case]
    overrides = setting.replace("ROOT", str(root)).split("; ")
    sentence = sentence.replace("{BACKBONES}", BACKBONES)
    assert told(lambda: run(root, *overrides), root) == sentence
    assert not (root / "run").exists()


@pytest.mark.parametrize("prepare", ON_DISK)
def test_on_disk(prepare: Callable[[Path], None], root: Path) -> None:
    prepare(root)
    assert ON_DISK[prepare] in told(lambda: run(root), root)


@pytest.mark.parametrize("case", CALLS)
def test_calls(case: str, root: Path) -> None:
    arguments, sentence = CALLS[case]
    assert told(lambda: run(root, **arguments), root) == sentence


def test_mistyped_recipe(root: Path) -> None:
    assert told(lambda: load_spec("ants-and-bee"), root).startswith(
        "ants-and-bee: there is no such file or recipe. Did you mean 'ants-and-bees'?"
        " Recipes are: ants-and-bees, "
    )


def test_not_a_run(root: Path) -> None:
    assert told(lambda: isotune.open_run(root / "runs"), root) == (
        "ROOT/runs: is not the folder of a run (it has no spec.yaml)."
    )
