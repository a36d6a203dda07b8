"""Where two sides part: the first value that is off and does not follow from an earlier one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from isotune.equivalence.certificates.certificate import Compared, ComparedStep, Place, PlaceStage
from isotune.equivalence.certificates.wording import side_names
from isotune.equivalence.comparing.rounding import FLOOR, in_order
from isotune.equivalence.traces.sampling import Values
from isotune.equivalence.traces.trace import STAGES, Stage, Trace, TracedStep, key, path_of
from isotune.interfaces.tracer import Layer, Setting

OTHERS = 32
"""Largest number of further places."""

LAYERS = ("forward", "backward", "gradient")
"""Stages in which a layer is to blame; one that is off in one of them is in the next ones, too."""

SHOWN = 6
"""Number of samples in a summary."""


@dataclass(frozen=True, eq=False)
class Found:
    """A value that is off, and whom to blame.

    Attributes:
        at: The value's key.
        path: Path of the layer that is to blame; None if no layer is.
        stage: The stage that it is reported for.
    """

    at: str
    path: str | None
    stage: PlaceStage


class Places:
    """Looks for the places of one step where two sides part."""

    def __init__(self, sides: Sequence[Trace], step: ComparedStep, index: int) -> None:
        """Prepares to look.

        Args:
            sides: The two traces.
            step: What was found when the step was compared.
            index: The step's position in both traces.
        """
        self._sides = sides
        self._steps = [side.steps[index] for side in sides]
        self._step = step
        self._layers: list[Mapping[str, Layer]] = [
            {layer.path: layer for layer in side.layers} for side in sides
        ]
        one, other = (each.values for each in self._steps)
        self._ranks = {at: number for number, at in enumerate(in_order({**one, **other}))}
        self._off = [each for each in step.values if not each.agrees]
        self._local_off = [each for each in step.values if is_locally_off(each)]

    def all(self) -> Iterator[Place]:
        """Yields the places, the first one first; nothing if the sides agree."""
        found = self._first()
        if found is None:
            return
        yield self.place(found)
        seen = {found.path if found.stage in LAYERS else found.at}
        for other in self._others(found):
            name = other.path if other.stage in LAYERS else other.at
            if len(seen) <= OTHERS and name not in seen:
                seen.add(name)
                yield self.place(other)

    def _first(self) -> Found | None:
        off = min(self._off, key=self._rank, default=None)
        alone = next(self._independent(), None)
        if off is None or alone is None:
            first = off or alone
        elif _stage(off.key) == "input":
            first = off
        else:
            # What is off although its layer agrees alone follows from what came before.
            follows = off.local is not None or self._rank(alone) < self._rank(off)
            first = alone if follows else off
        lost = self._lost()
        if lost is None or (first and self._comes_before(first.key, lost)):
            return None if first is None else self._blamed(first)
        return Found(lost, self._path(lost), _stage(lost))

    def _comes_before(self, at: str, lost: str) -> bool:
        """Whether a value that is off is to blame rather than one that only one side has."""
        if _order(at) != _order(lost):
            return _order(at) < _order(lost)
        return _stage(at) == "forward" and self._ranks[at] < self._ranks[lost]

    def _rank(self, value: Compared) -> int:
        return self._ranks[value.key]

    def _independent(self) -> Iterator[Compared]:
        """Yields values whose layers differ alone, though none of the layers' parts does."""
        for value in self._local_off:
            path = self._path(value.key)
            below = f"{path}." if path else ""
            parts = (
                part
                for each in self._local_off
                if _order(each.key) <= _order(value.key)
                and (part := self._path(each.key)) != path
                and part is not None
            )
            if not any(part.startswith(below) for part in parts):
                yield value

    def _path(self, at: str) -> str | None:
        """Returns the path of the layer that a value belongs to; None if it is no layer's."""
        stage, name = _stage(at), _name(at)
        if stage in ("forward", "backward"):
            return path_of(name)
        return self.layer_of(name) if stage in ("gradient", "update", "state") else None

    def layer_of(self, parameter: str) -> str:
        """Returns the path of the layer that has a parameter; empty if only the model has it."""
        path = parameter.partition("/")[0]
        known = self._layers[0].keys() | self._layers[1].keys()
        while path and path not in known:
            path = path.rpartition(".")[0]
        return path

    def _blamed(self, value: Compared) -> Found:
        stage, path = _stage(value.key), self._path(value.key)
        if stage == "backward" and not is_locally_off(value):
            path = self._computed_by(value.key)
        return Found(value.key, path, stage)

    def _computed_by(self, at: str) -> str | None:
        """Returns the path of the layer that has most likely computed the gradient of an output.

        That is a layer which the output goes into: one whose parameters' gradients are off although
        that of its output agrees, or the last one that the backward pass came by before.
        """
        agreeing = []
        for value in self._step.values:
            if value.key == at:
                break
            path = self._path(value.key)
            if _stage(value.key) == "backward" and path is not None and self._is_leaf(path):
                agreeing.append(path)
        wrong = {
            self.layer_of(_name(value.key))
            for value in self._off
            if _stage(value.key) == "gradient"
        }
        return next((path for path in agreeing if path in wrong), agreeing[-1] if agreeing else "")

    def _is_leaf(self, path: str) -> bool:
        return any(path in layers and layers[path].leaf for layers in self._layers)

    def _lost(self) -> str | None:
        """Returns the first value that cannot be compared, and ought to be.

        That is an output of another size, or a gradient or update that only one side has, unless it
        is zero. Outputs of the same size may be laid out otherwise.
        """
        for at in self._step.missing:
            values = [step.values[at] for step in self._steps if at in step.values]
            if _stage(at) in ("gradient", "update") and len(values) == 1 and values[0].norm > 0:
                return at
            if _stage(at) == "forward" and len({math.prod(each.shape) for each in values}) > 1:
                return at
        return None

    def _others(self, first: Found) -> Iterator[Found]:
        """Yields what is off and does not follow from the first place."""
        for value in self._independent():
            yield self._blamed(value)
        if first.stage in ("update", "state"):
            for value in self._off:
                if _stage(value.key) == first.stage:
                    yield self._blamed(value)

    def place(self, found: Found) -> Place:
        """Returns a place with what a person wants to see of it."""
        compared = next((each for each in self._step.values if each.key == found.at), None)
        layers = [layers.get(found.path or "") for layers in self._layers]
        kind = next((layer.kind for layer in layers if layer is not None), None)
        apart, allowed = (None, None) if compared is None else _judged(compared)
        return Place(
            stage=found.stage,
            name=_name(found.at),
            step=self._step.step,
            path=found.path,
            kind=kind if found.path is not None else None,
            difference=apart,
            allowed=allowed,
            summaries=(
                _summary(self._steps[0].values.get(found.at)),
                _summary(self._steps[1].values.get(found.at)),
            ),
            settings=_differing(layers) if found.path is not None else None,
        )


def is_locally_off(value: Compared) -> bool:
    """Whether the layer of a value differs by more than rounding on the other side's inputs."""
    return (
        value.local is not None
        and value.local_allowed is not None
        and value.local > value.local_allowed
    )


def _judged(value: Compared) -> tuple[float, float | None]:
    """Returns the difference that a value is blamed for, and what of it is allowed."""
    if is_locally_off(value) and value.local is not None:
        return value.local, value.local_allowed
    return value.difference, value.allowed


def compilation_place(
    sides: Sequence[Trace], steps: Sequence[TracedStep], compared: ComparedStep
) -> Place | None:
    """Returns the place of a step whose loss is another one when it is watched; None if none is.

    Args:
        sides: The two traces.
        steps: The same step of both.
        compared: What was found when the step was compared: a loss may differ by as much from that
            of the watched step as from the other side's.
    """
    at = key("loss", "loss")
    allowed = next((each.allowed for each in compared.values if each.key == at), FLOOR)
    one, other = (trace.side for trace in sides)
    for label, step in zip(side_names((one, other)), steps, strict=True):
        watched = step.values.get(at)
        if step.watched or watched is None:
            continue
        loss = float(watched.samples[0])
        size = max(abs(loss), abs(step.loss))
        if abs(loss - step.loss) > allowed * size:
            return Place(
                stage="compilation",
                name=label,
                step=step.step,
                difference=abs(loss - step.loss) / size,
                allowed=allowed,
                cause=f"The loss of {label} is {step.loss:.8g} as it trains, and"
                f" {loss:.8g} layer by layer.",
            )
    return None


def _stage(at: str) -> Stage:
    found = at.partition("/")[0]
    return next(stage for stage in STAGES if stage == found)


def _order(at: str) -> int:
    return STAGES.index(_stage(at))


def _name(at: str) -> str:
    return at.partition("/")[2]


def _summary(values: Values | None) -> dict[str, str]:
    if values is None:
        return {"shape": "none"}
    return {
        "shape": " x ".join(map(str, values.shape)) or "one number",
        "norm": f"{values.norm:.7g}",
        "mean": f"{values.mean:.7g}",
        "largest": f"{values.largest:.7g}",
        "samples": ", ".join(f"{sample:.7g}" for sample in values.samples[:SHOWN].tolist()),
    }


def _differing(
    layers: Sequence[Layer | None],
) -> tuple[Mapping[str, Setting], Mapping[str, Setting]] | None:
    """Returns the settings that both sides know and that are not the same; None without any."""
    one, other = layers
    if one is None or other is None or not (names := one.differing(other)):
        return None
    return {name: one.settings[name] for name in names}, {
        name: other.settings[name] for name in names
    }
