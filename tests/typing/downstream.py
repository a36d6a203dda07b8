"""A program that uses Isotune as its users do; mypy and pyright check it, strictly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import assert_type

import isotune
from isotune.interfaces.events import EpochEnded


def train(spec: Path) -> isotune.Run:
    def stop_when_good(event: EpochEnded) -> None:
        if event.metrics.val_accuracy > 0.99:
            event.stop.request("it is good enough")

    run = isotune.run(
        spec,
        backend="torch",
        overrides=["optimizer.lr=0.01"],
        on_epoch_ended=stop_when_good,
    )
    assert_type(run.best.val_accuracy, float)
    assert_type(run.classes, tuple[str, ...])
    assert_type(run.path, Path)
    for epoch in run.history:
        assert_type(epoch.epoch, int)
        assert_type(epoch.train_loss, float)
    return run


def from_memory(pixels: NDArray[np.uint8]) -> isotune.Run:
    pairs = [(pixels, "ants"), (pixels, "bees")]
    return isotune.run({"name": "given", "epochs": 1}, train=pairs, val=pairs)


def look(run: isotune.Run, image: Image.Image) -> float:
    name, probability = run.predict(image)[0]
    assert_type(name, str)
    assert_type(probability, float)
    evaluation = run.evaluate()
    assert_type(evaluation.accuracy, float)
    assert_type(evaluation.logits, NDArray[np.float32])
    assert_type(evaluation.loss, float)
    return probability


def by_hand(spec: isotune.ExperimentSpec) -> Sequence[float]:
    losses: list[float] = []
    with isotune.open_experiment(spec, backend="mindspore") as experiment:
        for epoch in experiment.epochs:
            trainer = experiment.trainer(epoch)
            steps = (
                trainer.train_step(step.batch, replace(step.plan, learning_rate=0.1))
                for step in experiment.steps(epoch)
            )
            fetched = trainer.fetch(list(steps))
            losses.extend(host.loss for host in fetched)
            evaluation = experiment.evaluate()
            metrics = experiment.save(epoch, evaluation, train_loss=float(np.mean(losses)))
            assert_type(metrics.learning_rate, float)
    return losses


def rest(folder: Path) -> None:
    spec = isotune.load_spec(folder / "spec.yaml", ["epochs=3"])
    assert_type(spec.epochs, int)
    try:
        assert_type(isotune.resume(folder, backend="mindspore"), isotune.Run)
        assert_type(isotune.open_run(folder), isotune.Run)
        report = isotune.check_data(spec)
        print(report)
        rates = isotune.find_lr(spec)
        assert_type(rates.valley, float | None)
        print(isotune.sweep(spec, space="space.yaml"), isotune.cross_validate(spec))
        print(isotune.summary(spec), isotune.plugins.plugins.backend_names())
        isotune.export(isotune.open_run(folder), folder / "model.onnx")
        print(isotune.open_exported(folder / "model.onnx").predict(folder / "bee.jpg"))
    except isotune.IsotuneError as error:
        print(error)
