from __future__ import annotations

import io
import json
import logging
import re
import signal
import time
from pathlib import Path

import pytest
from rich.console import Console

from isotune.errors import TrainingError
from isotune.hookspecs import hookimpl
from isotune.interfaces.events import EpochEnded, RunStarted, StepEnded
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.summary import ModelSummary
from isotune.models.summary import summarize_layers
from isotune.plugins import plugins
from isotune.progress.run import RunProgress
from isotune.spec.load import load_spec
from made_runs import epoch


def test_a_run_is_told_in_plain_lines(isotune, spec: Path):
    result = isotune("run", spec, "--backend", "numpy", "-o", "out", "--set", "epochs=3")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[:13] == [
        "tiny: numpy on cpu",
        "  images      9 train, 6 val",
        "  classes     3",
        "  backbone    linear, weights none",
        "  training    579 of 579 parameters, 3 steps an epoch",
        "  run folder  out",
        "",
        "class  train  val  total",
        "-----  -----  ---  -----",
        "ants       3    2      5",
        "bees       3    2      5",
        "cats       3    2      5",
        "total      9    6     15",
    ]
    history = [json.loads(line) for line in Path("out/metrics.jsonl").read_text().splitlines()]
    best = json.loads(Path("out/summary.json").read_text())["best"]["epoch"]
    epochs = [line.split() for line in lines[15:18]]
    for number, (words, metrics) in enumerate(zip(epochs, history, strict=True), 1):
        assert words[:3] == [f"{number}/3", "0.01", f"{metrics['train_loss']:.4f}"]
        assert words[5] == f"{100 * metrics['val_accuracy']:.1f}%"
    assert [words[8:] for words in epochs[best - 1 :]] == [["best"]] + [[]] * (3 - best)
    assert f"in epoch {best};" in lines[18]
    assert "  isotune predict out image.jpg" in lines


def test_a_run_on_mixed_images_says_what_its_accuracy_is_of(isotune, spec: Path):
    changes = ["mixing={mixup: 0.2, cutmix: 1.0, probability: 0.5}", "epochs=1"]
    options = [option for change in changes for option in ("--set", change)]
    result = isotune("run", spec, "--backend", "numpy", "-o", "out", *options)
    assert (
        "  mixing      mixup 0.2, cutmix 1, switch 0.5, probability 0.5;"
        " train accuracy: of the class with the largest share"
    ) in result.stdout.splitlines()


def test_a_broken_image_found_during_training_ends_a_run_that_goes_on(isotune, spec: Path):
    image = Path(load_spec(spec).dataset.path) / "val/bees/1.png"
    data = image.read_bytes()
    image.write_bytes(data[:-30])
    begun = ["run", spec, "--backend", "numpy", "-o", "out"]
    result = isotune(*begun, "--set", "dataset.check=during_training")
    assert result.exit_code == 2
    assert "  images      9 train, 6 val; checked during training\n" in result.stdout
    (line,) = result.stderr.splitlines()
    assert re.match(
        rf"isotune: {image}: cannot be read as an image: .*; repair it, or set dataset.broken to"
        r" 'skip'\. The run stopped after step \d, in epoch 1 of 2; everything is saved,",
        line,
    )
    image.write_bytes(data)
    assert isotune("resume", "out").exit_code == 0


def test_an_epoch_without_evaluation_has_dashes(isotune, spec: Path):
    options = ["--set", "evaluation.start=2", "--set", "checkpoint.every_steps=2"]
    result = isotune("run", spec, "--backend", "numpy", "-o", "out", *options)
    lines = [line.split() for line in result.stdout.splitlines()]
    first, second = (next(line for line in lines if line[:1] == [name]) for name in ("1/2", "2/2"))
    assert first[4:6] == ["-", "-"]
    assert second[8:] == ["best"]
    folders = sorted(path.name for path in Path("out/checkpoints").glob("*-*"))
    assert folders == ["epoch-0002", "step-00000004"]
    assert isotune("evaluate", "out", "-c", "step-00000004").exit_code == 0


def test_the_best_weights_are_told_and_the_layers_if_asked_for(isotune, spec: Path):
    options = ["--summary", "--set", "checkpoint.save_best_as=best.pth"]
    result = isotune("run", spec, "--backend", "numpy", "-o", "out", *options)
    assert "best weights out/best.pth\n" in result.stdout
    alone = isotune("summary", spec, "--backend", "numpy").stdout
    assert alone.splitlines()[-1] == "579 parameters: 579 trainable, 0 frozen; 0.0 MB in float32"
    assert alone in result.stdout


def test_a_summary_needs_no_dataset_and_leaves_nothing(isotune, spec: Path):
    missing = ["--set", "dataset.path=nowhere", "--set", "freeze=['fc.weight']"]
    result = isotune("summary", spec, "-b", "numpy", "--classes", "5", *missing)
    row = [cell.strip() for cell in result.stdout.splitlines()[2].split("  ") if cell.strip()]
    assert row == ["fc", "linear", "weight 5x192, bias 5", "965", "weight frozen; bias trainable"]
    assert not Path("runs").exists()
    result = isotune("summary", spec, "-b", "numpy", *missing)
    assert result.exit_code == 2
    assert "dataset.path: " in result.stderr


def test_a_pipe_gets_no_control_code(isotune, run: Path):
    calls = [["--help"], ["run", "--help"], ["backbones"], ["recipes"]]
    calls += [["compare", run, run], ["evaluate", run], ["predict", run, "images/val"], ["run"]]
    for call in calls:
        result = isotune(*call)
        assert len(result.output) > 20
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", result.output), call


def test_a_loss_that_is_no_number_ends_with_1_and_says_what_is_left(isotune, spec: Path):
    result = isotune("run", spec, "-b", "numpy", "-o", "out", "--set", "optimizer.lr=3e38")
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert re.match(r"isotune: the training loss became (nan|inf|-inf) in epoch 1,", first)
    assert second == "isotune: there is no checkpoint yet; the run is in out"


class Stopping(logging.Handler):
    """Sends this process a signal in the second step of the second epoch.

    It waits until the run has said that it stops: MindSpore, once used, passes Ctrl-C on by way of
    a thread.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self.number = number
        self.heard = False

    def emit(self, record: logging.LogRecord) -> None:
        self.heard = self.heard or "stopping after the next step" in record.getMessage()

    @hookimpl
    def isotune_step_ended(self, event: StepEnded) -> None:
        if (event.epoch, event.step) == (2, 2):
            logging.getLogger("isotune").addHandler(self)
            signal.raise_signal(self.number)
            while not self.heard:
                time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_130_and_the_run_goes_on_from_there(
    isotune, spec: Path, number: signal.Signals
):
    plugins.register(plugin := Stopping(number))
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        result = isotune("run", spec, "--backend", "numpy", "-o", "out")
    finally:
        plugins.unregister(plugin)
    assert result.exit_code == 130
    asked, stopped, command = result.stderr.splitlines()
    assert asked.endswith(": stopping after the next step; a second signal stops at once.")
    assert re.match(r"isotune: stopped by SIG(INT|TERM) after step 5, in epoch 2 of 2;", stopped)
    assert command == "isotune: To go on: isotune resume out"
    assert json.loads(Path("out/summary.json").read_text())["state"] == "stopped"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    result = isotune("resume", "out", "--device", "cpu")
    assert result.exit_code == 0
    assert "goes on     after step 5, in epoch 2" in result.stdout
    assert len(Path("out/metrics.jsonl").read_text().splitlines()) == 2


def started(spec: Path) -> RunStarted:
    return RunStarted(
        folder=Path("out"),
        spec=load_spec(spec),
        backend="numpy",
        device="cpu",
        classes=tuple("abcdefgh"),
        counts={"train": (150,) * 8, "val": (1,) * 8},
        images={"train": 1200, "val": 8},
        skipped={"train": 2, "val": 0},
        steps_per_epoch=3,
        model=ModelSummary("linear", summarize_layers({"fc.bias": (3,)}, lambda _: FreezePlan())),
    )


def test_a_terminal_gets_a_bar_that_is_gone_when_the_run_is_stopped(spec: Path):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with pytest.raises(TrainingError), RunProgress(console) as progress:
        progress.isotune_run_started(started(spec))
        for step in (1, 2, 3):
            progress.isotune_step_ended(StepEnded(1, step, 0.75 if step > 1 else None))
        progress.isotune_epoch_ended(EpochEnded(epoch(1, 0.5, 0.9), best=True))
        progress.isotune_step_ended(StepEnded(2, 1, None))
        raise TrainingError("stop")
    text = screen.getvalue()
    assert "left out as unreadable: 2 train" in text
    assert "1,200 train" in text
    assert "1/2 validating" in text
    assert "3/3" in text
    assert "loss 0.7500" in text
    assert text.rstrip("\r").endswith("\x1b[2K")  # the line of the bar is erased
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 2  # the cursor is back
