"""The summary of a model as a table and a sentence."""

from __future__ import annotations

from isotune.interfaces.summary import ModelSummary
from isotune.reports.numbers import NONE, count, significant
from isotune.reports.tables import Table


class PrintableSummary(ModelSummary):
    """A summary that is shown as a table with totals."""

    def __repr__(self) -> str:
        return f"{self.table().plain()}\n{self.totals()}"

    def _repr_html_(self) -> str:
        return f"{self.table().html()}<p>{self.totals()}</p>"

    def table(self) -> Table:
        """Returns a table with a row per layer, and learning rates where they are scaled."""
        scaled = any(row.lr_scale != 1 for row in self.rows)
        columns = ["layer", "kind", "shapes", "parameters", "training", *["learning rate"] * scaled]
        table = Table(columns, ["left", "left", "left", "right", "left", *["left"] * scaled])
        for row in self.rows:
            shapes = [f"{name} {'x'.join(map(str, s)) or 1}" for name, s in row.shapes.items()]
            table.add(
                row.path or NONE,
                row.kind or NONE,
                ", ".join(shapes) or NONE,
                f"{row.parameters:,}",
                row.state,
                *[f"lr * {significant(row.lr_scale)}"] * scaled,
            )
        return table

    def totals(self) -> str:
        """Returns a line with the numbers of trainable and frozen parameters and their size."""
        starts = {start for row in self.rows for start in row.trains_from.values() if start}
        later = [f"{self.trainable_in(e):,} from epoch {e}" for e in sorted(starts - {1})]
        unfrozen = f" ({', '.join(later)})" if later else ""
        return (
            f"{count(self.parameters, 'parameter')}: {self.trainable:,} trainable"
            f"{unfrozen}, {self.frozen:,} frozen; {self.megabytes:,.1f} MB in float32"
        )
