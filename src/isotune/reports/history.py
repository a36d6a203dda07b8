"""The epochs of a run, as a sequence, a table or a data frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isotune.errors import IsotuneError
from isotune.interfaces.metrics import EpochMetrics
from isotune.reports.metrics import written
from isotune.reports.numbers import number, significant
from isotune.reports.tables import Table

if TYPE_CHECKING:
    import pandas


class History(tuple[EpochMetrics, ...]):
    """Metrics of each epoch, in order."""

    __slots__ = ()

    def table(self) -> Table:
        """Returns a table with a row for each epoch."""
        names = list(dict.fromkeys(name for epoch in self for name in epoch.values))
        table = Table(["epoch", "learning_rate", *names, "seconds"], ["right"] * (len(names) + 3))
        for epoch in self:
            table.add(
                epoch.epoch,
                significant(epoch.learning_rate),
                *(written(name, epoch.value(name)) for name in names),
                number(epoch.train_seconds + epoch.val_seconds, 1),
            )
        return table

    def to_pandas(self) -> pandas.DataFrame:
        """Returns a data frame with a row for each epoch, and the columns of ``metrics.jsonl``.

        Raises:
            IsotuneError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise IsotuneError("to_pandas() needs pandas: `pip install pandas`.") from None
        return pandas.DataFrame([epoch.numbers() for epoch in self])

    def __repr__(self) -> str:
        return self.table().plain()

    def _repr_html_(self) -> str:
        return self.table().html()
