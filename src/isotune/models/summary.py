"""Summarizes a model from canonical names and shapes alone: the same for every backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.names import is_parameter
from isotune.interfaces.summary import LayerRow, Shape


def summarize_layers(
    shapes: Mapping[str, Shape],
    freezing: Callable[[int], FreezePlan],
    changes: Sequence[int] = (),
    lr_scale: Callable[[str], float] = lambda name: 1.0,
) -> tuple[LayerRow, ...]:
    """Returns the layers of a model.

    Args:
        shapes: Shapes of all tensors by canonical name, in the model's order.
        freezing: Returns the freeze plan of an epoch, counted from 1.
        changes: The epochs, except the first, in which the plan changes.
        lr_scale: Returns the learning-rate scale of a parameter, by its canonical name.
    """
    plans = {epoch: freezing(epoch).frozen for epoch in (1, *sorted(changes))}
    layers: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        path, _, last = name.rpartition(".")
        layers.setdefault(path, {})[last] = tuple(shape)
    rows = []
    for path, tensors in layers.items():
        own = {n: tensors[n] for n in sorted(tensors, key=_order) if is_parameter(_join(path, n))}
        starts = {
            name: next((e for e, frozen in plans.items() if _join(path, name) not in frozen), None)
            for name in own
        }
        # A stage or block holds whole layers, so that the scale of one is that of all.
        scale = lr_scale(_join(path, next(iter(tensors))))
        rows.append(LayerRow(path, _kind(tensors), own, starts, scale))
    return tuple(rows)


def _order(name: str) -> tuple[bool, bool, str]:
    # Frameworks list a layer's own tensors in different orders.
    return name != "weight", name != "bias", name


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _kind(tensors: Mapping[str, Shape]) -> str | None:
    weight = tensors.get("weight", ())
    if "running_mean" in tensors and "running_var" in tensors:
        return "batch norm"
    if len(weight) == 4:
        return f"conv {weight[2]}x{weight[3]}"
    # Without a bias, two dimensions may as well be those of an embedding.
    return "linear" if len(weight) == 2 and tensors.get("bias") == weight[:1] else None
