"""Kept graphs: found again for the same cell alone, and worth nothing unless they are intact."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from isotune.errors import BackendError
from isotune.interfaces.backend import Backend
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import AdamSpec, SGDSpec
from isotune.storage.sealed import cache_sealed
from isotune.testing.values import NORMALIZATION, batch
from isotune_mindspore import compile_cache
from isotune_mindspore.step import Compiled, graph_mode

ONES = Tensor(np.ones((2, 3), np.float32))


class Scaled(nn.Cell):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.weight = Parameter(Tensor(np.ones(3, np.float32)), name="weight")

    def construct(self, x: Tensor) -> Tensor:
        return x * self.weight * self.factor


@pytest.fixture(autouse=True)
def graphs(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of graphs in an empty home."""
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path))
    monkeypatch.delenv(compile_cache.VARIABLE, raising=False)
    return tmp_path / "cache" / "graphs"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each graph that was compiled with the cache on was one that had been kept."""
    seen: list[bool] = []
    compile_graph = compile_cache._compile

    def spy(cell: nn.Cell, inputs: tuple[Tensor, ...], graph: bytes | None) -> bytes | None:
        compiled = compile_graph(cell, inputs, graph)
        seen.append(graph is not None and compiled is None)
        return compiled

    monkeypatch.setattr(compile_cache, "_compile", spy)
    return seen


def scaled(factor: float = 2.0) -> float:
    """Returns what a new cell computes: `factor`."""
    return float(Compiled(Scaled(factor), lambda: None)(ONES)[0, 0])


def key(cell: nn.Cell | None = None, *inputs: Tensor) -> str | None:
    with graph_mode():
        described = compile_cache._described(cell or Scaled(2.0), inputs or (ONES,))
    return None if described is None else described[1]


@pytest.mark.parametrize(
    "plan",
    [
        TrainingPlan(SGDSpec(momentum=0.9, nesterov=True), clip_grad_norm=0.1),
        TrainingPlan(AdamSpec(name="adam"), accumulate=2, averages=True),
    ],
    ids=["momentum", "accumulated"],
)
def test_kept_graphs_train_to_the_same_bytes(
    backend: Backend,
    nested: Callable[[], Any],
    found: list[bool],
    plan: TrainingPlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def outcome() -> list[bytes]:
        model = nested()
        random = np.random.default_rng(0)
        for each in model.get_parameters():
            each.set_data(Tensor(random.random(each.shape).astype(np.float32)))
        trainer = backend.trainer(model, plan)
        data = next(iter(backend.dataset.feed([batch("kept", 4)], NORMALIZATION)))
        outputs = [
            trainer.train_step(
                data, StepPlan(step, 0.1, apply_update=plan.accumulate == 1 or step == 1)
            )
            for step in range(2)
        ]
        outputs.append(trainer.eval_step(data))
        state = backend.state_adapter.export_model(model)
        logits = [output.logits for output in trainer.fetch(outputs)]
        return [array.tobytes() for array in (*logits, *state.values())]

    first = outcome()
    assert found
    assert not any(found)
    compiled = len(found)
    assert outcome() == first
    assert all(found[compiled:])
    monkeypatch.setenv(compile_cache.VARIABLE, "0")
    assert outcome() == first
    assert len(found) == 2 * compiled


PROCESS = """
import sys
from isotune_mindspore.plugin import MindSporeOffer
MindSporeOffer().open("cpu")
import importlib.util
spec = importlib.util.spec_from_file_location("kept_graphs", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["kept_graphs"] = module
spec.loader.exec_module(module)
print([module.scaled(float(factor)) for factor in sys.argv[2:]])
"""


def test_processes_at_once_get_no_graph_of_another_cell(graphs: Path) -> None:
    def started(*factors: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", PROCESS, __file__, *factors]
        path = os.pathsep.join(sys.path)
        return subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    processes = [started("2", "3"), started("3", "2")]
    printed = [process.communicate()[0].splitlines()[0] for process in processes]
    assert printed == ["[2.0, 3.0]", "[3.0, 2.0]"]
    assert len(list(graphs.iterdir())) == 2


def test_a_kept_graph_computes_with_the_values_that_parameters_have_now(found: list[bool]) -> None:
    outcomes = []
    for values in ([1, 2, 3], [4, 5, 6]):
        cell = Scaled(2.0)
        cell.weight.set_data(Tensor(np.array(values, np.float32)))
        step = Compiled(cell, lambda: None)
        outcomes.append(step(ONES)[0].asnumpy().tolist())
        cell.weight.set_data(Tensor(np.array([0, 0, 1], np.float32)))
        outcomes.append(step(ONES)[0].asnumpy().tolist())
    assert found == [False, True]
    assert outcomes == [[2, 4, 6], [0, 0, 2], [8, 10, 12], [0, 0, 2]]


def test_graphs_are_found_in_any_order_and_leave_mindspores_settings(found: list[bool]) -> None:
    context = ms.context._context()
    member = compile_cache._parameters().enable_compile_cache
    before = context.get_param(member)
    assert [scaled(2), scaled(3), scaled(3), scaled(4), scaled(2)] == [2, 3, 3, 4, 2]
    assert found == [False, False, True, False, True]
    assert context.get_param(member) == before
    assert context.enable_compile_cache is None
    assert compile_cache.FOLDER not in os.environ


def test_damaged_and_foreign_files_are_compiled_again(
    graphs: Path, found: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    scaled(2), scaled(3)
    by_age = sorted(graphs.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    intact = [path.read_bytes() for path in by_age]
    for content in (intact[0][:-1], intact[0][:-1] + b"!", intact[1], b""):
        by_age[0].write_bytes(content)
        assert scaled(2) == 2
        assert scaled(2) == 2
    by_age[0].unlink()
    by_age[0].symlink_to(by_age[1])
    assert scaled(2) == 2
    assert scaled(2) == 2
    assert found == [False, False, *[False, True] * 5]
    assert len(caplog.messages) == 5
    # Sealed, but not what MindSpore can read.
    cache_sealed(by_age[0], by_age[0].stem, np.arange(100, dtype=np.uint8))
    assert scaled(2) == 2
    assert scaled(3) == 3
    assert found[-2:] == [False, True]


def test_what_decides_a_graph_decides_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert key() == key()
    evaluating, training, frozen, renamed = (Scaled(2.0) for _ in range(4))
    training.set_train(True)
    frozen.weight.requires_grad = False
    renamed.weight.name = "other"
    keys = {key(each) for each in (evaluating, training, frozen, renamed, Scaled(2.5))}
    keys |= {key(None, Tensor(np.ones(shape, np.float32))) for shape in ((1, 3), (3,))}
    keys |= {key(None, Tensor(np.ones((2, 3), np.float16))), key(None, ONES, ONES)}
    assert len(keys) == 9
    for change in (
        lambda patch: patch.setattr(ms, "__version__", "2.10.1"),
        lambda patch: patch.setattr(compile_cache, "__version__", "0.0.1"),
        lambda patch: patch.setenv("MS_DEV_SIDE_EFFECT_LOAD_ELIM", "3"),
        lambda patch: patch.setattr(Scaled, "construct", lambda self, x: x),
        lambda patch: patch.setattr(nn.Cell, "set_train", lambda self, mode=True: self),
    ):
        with pytest.MonkeyPatch.context() as patch:
            change(patch)
            keys.add(key())
    assert len(keys) == 14
    assert key() == key(evaluating)


SOURCE = """
from mindspore import Tensor, nn, ops

SCALE = 2.0

def outer(factor):
    def scale(x):
        return helper(x) * factor
    return scale

def helper(x):
    return ops.relu(x) * SCALE

class Net(nn.Cell):
    power = 2
    def __init__(self):
        super().__init__()
        self.constant = Tensor([1.0, 2.0, 3.0])
        self.scale = outer(3.0)
    def construct(self, x):
        return self.scale(x) ** self.power + self.constant
"""


def test_code_and_all_that_it_reads_decide_the_key(tmp_path: Path) -> None:
    def loaded(text: str = SOURCE) -> Any:
        path = tmp_path / "edited.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("edited", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    first = key(loaded().Net())
    assert first is not None
    assert key(loaded().Net()) == first
    edits = [("factor\n", "factor + 1\n"), ("relu", "abs"), ("3.0)", "4.0)"), ("[1.0", "[5.0")]
    keys = {key(loaded(SOURCE.replace(*edit)).Net()) for edit in edits}
    module = loaded()
    for name, value in (("SCALE", 3.0), ("helper", lambda x: x)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, value)
            keys.add(key(module.Net()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Net, "power", 3)
        keys.add(key(module.Net()))
    net = module.Net()
    (tmp_path / "edited.py").write_text(SOURCE + "# and MindSpore reads the file once more\n")
    keys.add(key(net))
    assert None not in keys
    assert len({first, *keys}) == 9


def test_what_cannot_be_described_or_written_is_compiled_as_always(
    graphs: Path, found: list[bool]
) -> None:
    class Computed(nn.Cell):  # in Python, while the graph runs
        def construct(self, x: Tensor) -> Tensor:
            return Tensor(x.asnumpy() * 2)

    locked, apart = Scaled(2.0), Scaled(2.0)
    locked.lock = threading.Lock()
    apart.others = {"weight": Parameter(Tensor(np.ones(3, np.float32)), name="weight")}
    assert key(locked) is None
    assert key(apart) is None
    for cell in (locked, apart, Computed()):
        assert float(Compiled(cell, lambda: None)(ONES)[0, 0]) == 2
    assert found == [False], "of the cell that only MindSpore refuses"
    assert not graphs.exists()
    assert scaled(3) == scaled(3)
    assert found[1:] == [False, True]


@pytest.mark.parametrize(
    ("variable", "value"),
    [(compile_cache.VARIABLE, "0"), (compile_cache.ENABLE, "0"), (compile_cache.FOLDER, "here")],
)
def test_nothing_is_kept_where_the_user_has_chosen_otherwise(
    graphs: Path, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert scaled() == 2
    assert not graphs.exists()


def test_a_size_that_is_none_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compile_cache.VARIABLE, "much")
    with pytest.raises(BackendError, match="ISOTUNE_COMPILE_CACHE is 'much', but should be a numb"):
        scaled()


def test_a_folder_that_cannot_be_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "file"))
    assert scaled() == 2
