from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from isotune.bench.cached import measure_cached
from isotune.bench.measure import measure_data, measure_step
from isotune.bench.setting import Setting
from isotune.errors import BackendError, SpecError
from numpy_backend.trainer import NumpyTrainer
from threads import plugins_of, with_communicators
from tiny import make_images, numpy_plugins

TINY = Setting(backend="numpy", model="linear", batch=3, size=8, steps=5, group=2)


def test_every_step_is_counted_and_the_first_stands_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, waits = [], []
    step, fetch = NumpyTrainer.train_step, NumpyTrainer.fetch

    def counted_step(self, batch, plan):
        numbers.append((plan.step, batch.size))
        return step(self, batch, plan)

    def counted_fetch(self, outputs):
        waits.append(len(outputs))
        return fetch(self, outputs)

    monkeypatch.setattr(NumpyTrainer, "train_step", counted_step)
    monkeypatch.setattr(NumpyTrainer, "fetch", counted_fetch)
    figures = measure_step(TINY, numpy_plugins())
    assert numbers == [(number, 3) for number in range(6)]
    assert waits == [1, 2, 2, 1]
    assert figures["images_per_second"] == pytest.approx(3000 / figures["step_ms"])
    assert figures["device"] == "cpu" and figures["peak_memory_mib"] > 0


def test_processes_share_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, step = [], NumpyTrainer.train_step

    def counted_step(self, batch, plan):
        parts.append((plan.step, plan.part.index, batch.size, plan.loss_scale))
        return step(self, batch, plan)

    monkeypatch.setattr(NumpyTrainer, "train_step", counted_step)
    setting = replace(TINY, model="small", processes=2, steps=2)

    def work(communicator):
        return measure_step(setting, plugins_of(communicator))

    for figures in with_communicators(work, 2):
        assert figures["device"] == "cpu x 2"
        assert figures["images_per_second"] == pytest.approx(3000 / figures["step_ms"])
    sizes = ((0, 1, 1 / 3), (1, 2, 2 / 3))
    assert sorted(parts) == [(number, *each) for number in range(3) for each in sizes]
    with pytest.raises(SpecError, match="cached features are measured in one process"):
        replace(setting, mode="cached")


def test_the_data_pipeline_is_measured_without_a_backend(tmp_path: Path) -> None:
    setting = Setting(backend="numpy", model="linear", batch=4, size=8)
    figures = measure_data(setting, make_images(tmp_path / "images"), numpy_plugins())
    assert set(figures["images_per_second"]) == {"first", "second"}


def test_cached_steps_are_those_on_kept_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = pytest.importorskip("isotune_torch.dataset").TorchDatasetAdapter
    fed, feed = [], adapter.feed_features

    def counted(self, batches):
        for batch in feed(self, batches):
            fed.append(batch.size)
            yield batch

    monkeypatch.setattr(adapter, "feed_features", counted)
    setting = Setting(backend="torch", model="lenet", batch=2, size=32, mode="cached")
    figures = measure_cached(setting, make_images(tmp_path / "images"))
    assert fed == [2, 2, 2, 2, 1, 6] * 3, "the nine training images, then the six others"
    assert figures["step_ms"] > 0 and figures["images_per_second"] > 0
    assert figures["first_step"] > 0 and figures["device"]


def test_a_setting_that_cannot_be_is_told() -> None:
    with pytest.raises(SpecError, match=r"no mode 'frosen'\. Did you mean 'frozen'"):
        Setting(backend="numpy", mode="frosen")
    with pytest.raises(SpecError, match="batch: is 0, but should be 1 at least"):
        Setting(backend="numpy", batch=0)
    with pytest.raises(SpecError, match="'bf16'"):
        measure_step(replace(TINY, precision="bf16"), numpy_plugins())
    with pytest.raises(BackendError, match="no backend 'numpie'"):
        measure_step(Setting(backend="numpie", model="linear", size=8), numpy_plugins())
