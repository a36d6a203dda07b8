"""What hooks of PyTorch have to get right; what every tracer promises is in tests/contract."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torchvision.models import DenseNet, SwinTransformer, VisionTransformer

from isotune.errors import BackendError
from isotune.interfaces.dataset import Batch, DeviceBatch, Normalization
from isotune.interfaces.division import Division
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.tracer import Recorder
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.spec.values import Precision
from isotune.testing.values import state
from isotune_torch.backend import TorchBackend
from isotune_torch.models.lenet import LeNet5
from isotune_torch.trainer import TorchTrainer

BACKEND = TorchBackend("cpu")
PLAN = TrainingPlan(SGDSpec(momentum=0.9))
Array = NDArray[np.float32]


def images(size: int = 4, side: int = 16) -> DeviceBatch:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (size, side, side, 3), dtype=np.uint8)
    batch = Batch(pixels, draw.integers(0, 3, size, dtype=np.int32))
    unit = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return next(iter(BACKEND.dataset.feed([batch], unit)))


@dataclass
class Kept(Recorder):
    """Copies of all that is reported."""

    inputs: bool = False
    outputs: dict[str, list[Array]] = field(default_factory=dict)
    given: dict[str, list[list[Array]]] = field(default_factory=dict)
    slopes: dict[tuple[str, int], Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)

    def forward(self, path: str, inputs: Sequence[Array], output: Array) -> None:
        self.outputs.setdefault(path, []).append(output.copy())
        self.given.setdefault(path, []).append([each.copy() for each in inputs])

    def backward(self, path: str, call: int, gradient: Array) -> None:
        assert (path, call) not in self.slopes
        self.slopes[path, call] = gradient.copy()

    def gradient(self, parameter: str, gradient: Array) -> None:
        assert parameter not in self.gradients
        self.gradients[parameter] = gradient.copy()


def trainer_of(model: nn.Module, plan: TrainingPlan = PLAN) -> TorchTrainer:
    """Returns the trainer of a model that has got values."""
    model = BACKEND.backbones.adopt(model)
    shapes = {key: value.shape for key, value in BACKEND.state_adapter.export_model(model).items()}
    BACKEND.state_adapter.import_model(model, state(shapes))
    return BACKEND.trainer(model, plan)


def watched(trainer: TorchTrainer, inputs: bool = False, step: int = 0) -> Kept:
    kept = Kept(inputs)
    with BACKEND.tracer.watch(trainer, kept) as same:
        assert same
        trainer.train_step(images(), StepPlan(step, 0.1))
    return kept


class Tangled(nn.Module):
    """ReLU in place, one layer called twice, a branch through an identity, a list of inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4))
        self.relu = nn.ReLU(inplace=True)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.shortcut = nn.Identity()
        self.join = Join()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        y = self.twice(self.twice(x))
        y += self.shortcut(x)
        y = self.relu(y)
        return self.fc(self.join([x, y]).mean((2, 3)))


class Join(nn.Module):
    def forward(self, parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(parts, 1)


def test_values_are_from_before_what_changes_them_in_place() -> None:
    trainer = trainer_of(Tangled())
    model, batch = copy.deepcopy(trainer.model), images()
    kept = watched(trainer, inputs=True)

    x = model.first[0](batch.images)
    normal = model.first[1](x)
    hidden = normal.relu()
    once = model.twice(hidden)
    again = model.twice(once)
    relu = (again + hidden).relu()
    both = torch.cat([hidden, relu], 1)
    logits = model.fc(both.mean((2, 3)))
    steps = [x, normal, hidden, once, again, relu, both, logits]
    for each in steps:
        each.retain_grad()
    functional.cross_entropy(logits, batch.labels).backward()

    names = [("first.0", 0), ("first.1", 0), ("relu", 0), ("twice", 0), ("twice", 1), ("relu", 1)]
    names += [("join", 0), ("fc", 0)]
    for (path, call), expected in zip(names, steps, strict=True):
        assert_allclose(kept.outputs[path][call], expected.detach(), rtol=1e-4, atol=1e-6)
        assert_allclose(kept.slopes[path, call], expected.grad, rtol=1e-4, atol=1e-6)
    assert_array_equal(kept.outputs["first"], kept.outputs["first.1"])
    assert_array_equal(kept.slopes["first", 0], kept.slopes["first.1", 0])
    assert_array_equal(kept.given["relu"][0][0], kept.outputs["first.1"][0])
    assert_array_equal(kept.given["join"][0][0], kept.outputs["shortcut"][0])
    assert_array_equal(kept.given[""][0][0], batch.images)
    assert ("shortcut", 0) not in kept.slopes, "that of its input is no gradient of its own"
    for name, parameter in model.named_parameters():
        assert_allclose(kept.gradients[name], parameter.grad, rtol=1e-4, atol=1e-6)
    assert list(kept.outputs)[:3] == ["first.0", "first.1", "first"]
    assert list(kept.outputs)[-1] == ""


def test_nothing_is_left_on_the_model() -> None:
    trainer = trainer_of(Tangled())

    def attributes() -> list[object]:
        of_modules = [set(vars(module)) for module in trainer.model.modules()]
        hooks = [p._backward_hooks for p in trainer.model.parameters()]
        return [of_modules, hooks]

    before = attributes()
    with pytest.raises(ZeroDivisionError), BACKEND.tracer.watch(trainer, Broken()):
        trainer.train_step(images(), StepPlan(0, 0.1))
    assert attributes() == before
    for module in trainer.model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks


class Outputs(NamedTuple):
    logits: torch.Tensor
    aux: torch.Tensor


class Auxiliary(nn.Module):
    """Returns several tensors, as GoogLeNet does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 3)
        self.aux = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.ReLU(True), nn.Linear(5, 3))

    def forward(self, x: torch.Tensor) -> Outputs:
        x = torch.flatten(self.pool(self.conv(x)), 1)
        return Outputs(self.fc(x), self.aux(x))


NETS = {
    "tangled": Tangled,
    "vit": lambda: VisionTransformer(16, 8, 1, 2, 8, 16, dropout=0.1, num_classes=3),
    "densenet": lambda: DenseNet(4, (2, 1), 8, num_classes=3),
    "swin": lambda: SwinTransformer([2, 2], 8, [2], [2], [2, 2], 0.5, num_classes=3),
    "auxiliary": Auxiliary,
}
CASES: list[tuple[str, Precision]] = [
    ("tangled", "fp32"),
    ("tangled", "bf16"),
    ("vit", "bf16"),
    ("vit", "fp16"),
    ("densenet", "fp32"),
    ("swin", "fp16"),
    ("auxiliary", "fp32"),
]


@pytest.mark.parametrize(("net", "precision"), CASES)
def test_a_layer_alone_computes_what_it_computes_in_a_step(net: str, precision: Precision) -> None:
    """And watching changes no byte of a step."""
    plan = replace(PLAN, precision=precision, auxiliary=("aux",), auxiliary_weight=0.3)
    trainer, step = trainer_of(NETS[net](), plan), StepPlan(0, 0.1)
    twin = BACKEND.trainer(copy.deepcopy(trainer.model), plan)
    for each in (trainer, twin):
        each.precision_policy.load_scaler({"scale": 256.0, "growth_tracker": 0.0})
    start, kept = BACKEND.state_adapter.export_model(trainer.model), Kept(inputs=True)
    with BACKEND.tracer.watch(trainer, kept):
        loss = trainer.train_step(images(), step).loss
    assert loss.numpy().tobytes() == twin.train_step(images(), step).loss.numpy().tobytes()
    assert contents(trainer) == contents(twin)

    BACKEND.state_adapter.import_model(trainer.model, start)
    before = contents(trainer)
    once = [path for path, outputs in kept.outputs.items() if len(outputs) == 1]
    assert len(once) > 6
    for path in once:
        gradient = kept.slopes.get((path, 0))
        done = BACKEND.tracer.run(trainer, path, kept.given[path][0], gradient, step)
        assert_array_equal(done.output, kept.outputs[path][0], path)
        for name, value in done.parameters.items():
            if path or net != "auxiliary":  # whose other output has a loss, too
                assert_array_equal(value, kept.gradients[name], name)
        assert gradient is None or len(done.inputs) == len(kept.given[path][0])
    assert contents(trainer) == before


def contents(trainer: TorchTrainer) -> dict[str, bytes]:
    """Returns all bytes of the model's and the optimizer's state."""
    adapter = BACKEND.state_adapter
    found = {**adapter.export_model(trainer.model), **adapter.export_optimizer(trainer)}
    return {name: value.tobytes() for name, value in found.items()}


class Broken(Kept):
    """A recorder with an error."""

    def backward(self, path: str, call: int, gradient: Array) -> None:
        raise ZeroDivisionError


def test_gradients_are_without_the_scale_of_float16_and_with_the_share_of_an_update() -> None:
    trainer = trainer_of(Tangled(), replace(PLAN, precision="fp16", accumulate=2))
    exact = watched(trainer_of(Tangled()))
    for step in (0, 1):  # the second one adds to the first one's gradients
        kept = Kept()
        with BACKEND.tracer.watch(trainer, kept):
            plan = StepPlan(step, 0.1, loss_scale=0.5, apply_update=False)
            trainer.train_step(images(), plan)
        for name, value in kept.gradients.items():
            assert_allclose(value, exact.gradients[name] / 2, atol=0.002)
        fc = kept.slopes["fc", 0]
        assert_allclose(fc, exact.slopes["fc", 0] / 2, atol=1e-3)


def test_parts_of_a_batch_are_reported_one_by_one() -> None:
    trainer = trainer_of(Tangled(), replace(PLAN, shards=2))
    batch, total = images(), dict[str, Array]()
    for part in Division(shards=2).divide(4):
        own, kept = slice(part.start, part.stop), Kept()
        piece = DeviceBatch(batch.images[own], batch.labels[own], len(part))
        with BACKEND.tracer.watch(trainer, kept):
            trainer.train_step(piece, StepPlan(0, 0.1, 0.5, apply_update=False, part=part))
        assert kept.outputs["fc"][0].shape == (2, 3)
        for name, value in kept.gradients.items():
            total[name] = total.get(name, np.float32(0)) + value
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer._update(StepPlan(0, 1.0))
    for name, parameter in trainer.model.named_parameters():
        assert_allclose(before[name] - parameter.detach(), total[name], atol=1e-5)


def test_a_compiled_model_is_watched_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(images: torch.Tensor) -> torch.Tensor:
        raise LookupError

    trainer = trainer_of(Tangled(), replace(PLAN, compile=True))
    monkeypatch.setattr(trainer.compiled, "_compiled", compiled)
    kept = Kept()
    with BACKEND.tracer.watch(trainer, kept) as same:
        trainer.train_step(images(), StepPlan(0, 0.1))
    assert not same and kept.slopes
    with pytest.raises(LookupError):
        trainer.train_step(images(), StepPlan(1, 0.1))


@pytest.mark.parametrize("shards", [1, 2])
def test_variants_compute_the_same_and_are_undone(shards: int) -> None:
    model = LeNet5()
    trainer = trainer_of(model, replace(PLAN, shards=shards))
    steps = [StepPlan(0, 0.1, part=part) for part in Division(shards=shards).divide(4)]
    pieces = [replace(plan, part=plan.part if shards > 1 else None) for plan in steps]

    def losses() -> list[float]:
        """Makes two updates."""
        found = []
        for number in range(2):
            for plan in pieces:
                part = plan.part
                batch = images(side=32)
                own = slice(0, 4) if part is None else slice(part.start, part.stop)
                batch = DeviceBatch(batch.images[own], batch.labels[own], own.stop - own.start)
                last = part is None or part.last
                step = replace(plan, step=number, loss_scale=1 / shards, apply_update=last)
                found.append(float(trainer.train_step(batch, step).loss))
        return found

    adapter, own = BACKEND.state_adapter, losses()
    started = adapter.export_model(model), adapter.export_optimizer(trainer)
    own, after = losses(), contents(trainer)
    variants = BACKEND.tracer.variants(trainer)
    assert "contiguous" in variants and len(variants) == 2
    for variant in variants.values():
        for _ in range(2):
            adapter.import_model(model, started[0])
            adapter.import_optimizer(trainer, started[1])
            with variant:
                assert_allclose(losses(), own, rtol=1e-3)
    adapter.import_model(model, started[0])
    adapter.import_optimizer(trainer, started[1])
    assert losses() == own
    assert contents(trainer) == after


def test_a_layer_alone_has_the_memory_format_of_the_step_whatever_is_watched_later() -> None:
    """Kernels of BatchNorm differ between memory formats."""
    trainer, step = trainer_of(NETS["densenet"]()), StepPlan(0, 0.0)
    kept = Kept(inputs=True)
    with BACKEND.tracer.watch(trainer, kept):
        trainer.train_step(images(), step)
    variant = BACKEND.tracer.variants(trainer)["contiguous"]
    norms = [path for path, module in trainer.model.named_modules() if "norm" in path]

    def differing() -> list[str]:
        return [
            path
            for path in norms
            if not np.array_equal(
                BACKEND.tracer.run(trainer, path, kept.given[path][0], None, step).output,
                kept.outputs[path][0],
            )
        ]

    with variant, BACKEND.tracer.watch(trainer, Kept()):
        trainer.train_step(images(), step)
        assert differing()
    assert not differing()


def test_a_model_of_somebody_else_keeps_its_memory_format() -> None:
    trainer = trainer_of(Tangled())
    assert all(name.endswith(("thread", "threads")) for name in BACKEND.tracer.variants(trainer))


def test_layers_have_kinds_and_settings() -> None:
    layers = {each.path: each for each in BACKEND.tracer.layers(trainer_of(NETS["vit"]()))}
    assert list(layers)[:2] == ["", "conv_proj"]
    conv = layers["conv_proj"]
    assert conv.kind == "Conv2d" and conv.leaf
    expected = {"kernel_size": (8, 8), "stride": (8, 8), "padding": (0, 0), "bias": True}
    assert expected.items() <= conv.settings.items()
    norm = layers["encoder.layers.encoder_layer_0.ln_1"]
    assert norm.kind == "LayerNorm" and norm.settings["eps"] == 1e-6
    attention = layers["encoder.layers.encoder_layer_0.self_attention"]
    assert attention.kind == "MultiheadAttention" and attention.settings["num_heads"] == 2
    assert not attention.leaf
    assert layers["encoder.layers.encoder_layer_0.self_attention.out_proj"].kind == "Linear"
    assert layers["encoder.layers.encoder_layer_0.mlp.1"].settings == {"approximate": "none"}
    pool = {each.path: each for each in BACKEND.tracer.layers(trainer_of(NETS["densenet"]()))}
    assert pool["features.pool0"].settings["kernel_size"] == (3, 3)
    assert pool["features.norm0"].settings["momentum"] == 0.1


def test_a_layer_refuses_what_it_does_not_take() -> None:
    trainer, step = trainer_of(Tangled()), StepPlan(0, 0.1)
    numbers = np.ones((2, 3), np.float32)
    with pytest.raises(BackendError, match=r"no layer 'first\.2'.*first\.1"):
        BACKEND.tracer.run(trainer, "first.2", [numbers], None, step)
    with pytest.raises(BackendError, match=r"'fc' does not take inputs of shapes \(2, 3\)"):
        BACKEND.tracer.run(trainer, "fc", [numbers], None, step)
    with pytest.raises(BackendError, match=r"'fc' does not take inputs of shapes"):
        BACKEND.tracer.run(trainer, "fc", [numbers, numbers], None, step)
    with pytest.raises(BackendError, match=r"shape \(4, 3\), whose gradient .* \(2, 3\)"):
        BACKEND.tracer.run(trainer, "fc", [np.ones((4, 8), np.float32)], numbers, step)


def test_only_steps_of_training_are_reported() -> None:
    trainer, kept = trainer_of(Tangled()), Kept()
    with BACKEND.tracer.watch(trainer, kept):
        trainer.eval_step(images())
    assert not kept.outputs


def test_what_is_frozen_has_outputs_but_no_gradients() -> None:
    trainer = trainer_of(Tangled())
    names = [name for name, _ in trainer.model.named_parameters() if not name.startswith("fc.")]
    trainer.freeze(FreezePlan(frozenset(names)))
    kept = watched(trainer)
    assert {path for path, _ in kept.slopes} == {"fc", ""}
    assert kept.gradients.keys() == {"fc.weight", "fc.bias"}
    assert kept.outputs.keys() == {path for path, _ in trainer.model.named_modules()}


def test_a_neighbor_is_the_next_number() -> None:
    batch = images()
    up = np.random.default_rng(1).random(tuple(batch.images.shape)) < 0.5
    moved = BACKEND.tracer.nudged(batch, up).images
    assert moved.stride() == batch.images.stride()
    limits = np.where(up, np.float32(np.inf), np.float32(-np.inf))
    assert_array_equal(moved, np.nextafter(batch.images.numpy(), limits))
