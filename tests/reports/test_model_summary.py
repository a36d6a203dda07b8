"""A model layer by layer, from its names and shapes."""

from __future__ import annotations

from isotune.interfaces.freezing import FreezePlan
from isotune.models.summary import summarize_layers
from isotune.reports.model_summary import PrintableSummary

SHAPES = {
    "token": (1, 1, 7),
    "conv.bias": (4,),
    "conv.weight": (4, 3, 3, 5),
    "bn.weight": (4,),
    "bn.running_mean": (4,),
    "bn.bias": (4,),
    "bn.running_var": (4,),
    "block.embedding.weight": (9, 4),
    "block.norm.weight": (4,),
    "block.norm.bias": (4,),
    "stats.running_mean": (4,),
    "stats.running_var": (4,),
    "fc.weight": (2, 4),
    "fc.bias": (2,),
}


def summary(frozen: dict[int, set[str]]) -> PrintableSummary:
    """Returns the summary of a model of which `frozen` is frozen from an epoch on."""

    def plan(epoch: int) -> FreezePlan:
        return FreezePlan(frozenset(frozen[max(start for start in frozen if start <= epoch)]))

    rows = summarize_layers(SHAPES, plan, [epoch for epoch in frozen if epoch > 1])
    return PrintableSummary("net", rows)


def test_kinds_are_named_where_names_and_shapes_leave_no_doubt():
    rows = summary({1: set()}).rows
    assert [(row.path, row.kind, row.parameters) for row in rows] == [
        ("", None, 7),
        ("conv", "conv 3x5", 184),
        ("bn", "batch norm", 8),
        ("block.embedding", None, 36),
        ("block.norm", None, 8),
        ("stats", "batch norm", 0),
        ("fc", "linear", 10),
    ]
    assert list(rows[1].shapes.items()) == [("weight", (4, 3, 3, 5)), ("bias", (4,))]


def test_what_trains_and_from_when_on():
    backbone = {name for name in SHAPES if not name.startswith("fc")}
    third = backbone - {"conv.bias", "bn.weight", "bn.bias"}
    found = summary({1: backbone, 3: third, 5: {"token", "conv.weight"}})
    assert {row.path: row.state for row in found.rows} == {
        "": "frozen",
        "conv": "weight frozen; bias frozen, trains from epoch 3",
        "bn": "frozen, trains from epoch 3",
        "block.embedding": "frozen, trains from epoch 5",
        "block.norm": "frozen, trains from epoch 5",
        "stats": "-",
        "fc": "trainable",
    }
    assert (found.parameters, found.trainable, found.frozen) == (253, 10, 243)
    assert [found.trainable_in(epoch) for epoch in (2, 3, 4, 5)] == [10, 22, 22, 66]
    assert found.totals() == (
        "253 parameters: 10 trainable (22 from epoch 3, 66 from epoch 5), 243 frozen;"
        " 0.0 MB in float32"
    )


def test_it_reads_as_a_table():
    lines = str(summary({1: {"fc.bias"}})).splitlines()
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    assert rows[0] == ["layer", "kind", "shapes", "parameters", "training"]
    assert rows[2] == ["-", "-", "token 1x1x7", "7", "trainable"]
    assert rows[-2] == [
        *("fc", "linear", "weight 2x4, bias 2", "10"),
        "weight trainable; bias frozen",
    ]
    assert lines[-1] == "253 parameters: 251 trainable, 2 frozen; 0.0 MB in float32"
