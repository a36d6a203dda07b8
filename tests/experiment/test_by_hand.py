"""The loop of docs/by-hand.md, on both backends and from one to the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import isotune
from isotune.errors import RunError
from tiny import experiment, make_images, numpy_plugins

PAGE = Path(__file__).parents[2] / "docs" / "by-hand.md"
FIRST, SECOND, OWN_RATE = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def the_page(block: str, backend: str, names: dict[str, Any]) -> None:
    """Runs a block of the page on a backend."""
    code = re.sub(r'backend="\w+"', f'backend="{backend}"', block)
    exec(compile(code, str(PAGE), "exec"), names)


def values(history: Any) -> list[tuple[float, ...]]:
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate")
    return [tuple(getattr(epoch, name) for name in names) for epoch in history]


@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_the_loop_trains_as_run_does_and_the_other_backend_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, freeze: str
) -> None:
    for framework in ("torch", "mindspore"):
        pytest.importorskip(framework)
    images = make_images(tmp_path / "images", train=5, size=32)
    spec = experiment(
        images,
        transforms={
            "train": [{"random_crop": {"size": 32, "padding": 1}}],
            "val": [{"resize": [32, 32]}],
        },
        backbone={"name": "lenet", "weights": "none"},
        schedule={"name": "cosine"},
        freeze=freeze,
    )
    for backend, other in (("torch", "mindspore"), ("mindspore", "torch")):
        work = tmp_path / backend
        work.mkdir()
        monkeypatch.chdir(work)
        Path("spec.yaml").write_text(yaml.safe_dump(spec), "utf-8")
        whole = isotune.run(spec, backend=backend, output="whole", progress=False)
        names: dict[str, Any] = {"__name__": "by_hand"}
        the_page(FIRST, backend, names)
        by_hand = isotune.open_run("by-hand")
        assert values(by_hand.history) == values(whole.history)
        assert by_hand.evaluate().metrics == whole.evaluate().metrics
        the_page(SECOND, other, names)
        continued = isotune.open_run("by-hand", checkpoint="last")
        assert continued.backend.name == other
        assert values(continued.history)[:2] == values(whole.history)
        assert len(continued.history) == 4
        resumed = isotune.resume("whole", backend=other, overrides=["epochs=4"], progress=False)
        assert values(continued.history) == values(resumed.history)


def test_what_a_loop_may_not_do(tmp_path: Path) -> None:
    spec = experiment(make_images(tmp_path / "images"))
    arguments: Any = {"backend": "numpy", "plugins": numpy_plugins()}
    with isotune.open_experiment(spec, output=tmp_path / "run", **arguments) as opened:
        with pytest.raises(RunError, match="epoch 2: epoch 1 comes next"):
            opened.trainer(2)
        with pytest.raises(RunError, match=r"trainer\(1\) comes before steps\(1\)"):
            next(opened.steps(1))
        trainer = opened.trainer(1)
        rates = []
        for step in opened.steps(1):
            names = {"step": step}
            exec(OWN_RATE, names)
            trainer.train_step(step.batch, names["plan"])
            rates.append(names["plan"].learning_rate)
            with pytest.raises(RunError, match="epoch 1: 0 of 3 steps are made"):
                opened.save(1)
            break
        assert rates == [0.01]
    with pytest.raises(isotune.SpecError, match="shards: is 2"):
        isotune.open_experiment({**spec, "shards": 2}, output=tmp_path / "other", **arguments)
    assert not (tmp_path / "other").exists()
    assert isotune.resume(tmp_path / "run", progress=False, **arguments).best.epoch
    within = {**spec, "checkpoint": {"every_steps": 2, "keep": 9}}
    isotune.run(within, output=tmp_path / "within", progress=False, **arguments)
    kept = sorted(path.name for path in (tmp_path / "within" / "checkpoints").iterdir())
    with pytest.raises(RunError, match="within an epoch"):
        isotune.continue_experiment(tmp_path / "within", checkpoint="step-00000002", **arguments)
    assert kept == sorted(path.name for path in (tmp_path / "within" / "checkpoints").iterdir())
    assert "step-00000002" in kept
