"""Names of metrics in a spec: what an evaluation computes, and what is monitored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from isotune.spec.base import Meaning

ALWAYS = ("loss", "accuracy")
"""Metrics that every evaluation computes."""

MULTI_LABEL = "mean_average_precision"
"""The metric that is computed and monitored where an image may have several labels."""

ThresholdRule = Annotated[
    Union[Literal["max_f1"], Annotated[float, Field(gt=0, lt=1)]],
    Meaning("max_f1, or a number between 0 and 1"),
]
"""How the thresholds are chosen from which on a class is predicted: by the classes' F1, or all
alike."""


@dataclass(frozen=True)
class _NameOfMetric:
    """Annotation: text that is the name of a metric, after `prefix`."""

    prefix: str = ""

    def check(self, name: str) -> str:
        """Refuses unknown names."""
        if name not in [self.prefix + each for each in ALWAYS] and name not in self._known():
            expected = {"expected": _one_of(self._known())}
            raise PydanticCustomError("literal_error", "{expected}", expected)
        return name

    def _known(self) -> list[str]:
        from isotune.metrics import METRICS  # here, as it takes NumPy, which most specs do not

        return [self.prefix + name for name in METRICS]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": self._known()}


MetricName = Annotated[str, _NameOfMetric()]
Monitor = Annotated[str, _NameOfMetric("val_")]
"""A metric on the validation images: ``val_accuracy``."""


def check_monitor(monitor: str, metrics: Sequence[str], *within: str) -> None:
    """Makes sure that a monitored metric is computed.

    Args:
        monitor: The value of the field ``monitor``.
        metrics: The spec's ``metrics``.
        within: The part of the spec that has the field, if the error should name it.

    Raises:
        ValidationError: It is not computed. The error's location is ``monitor`` in that part.
    """
    computed = [f"val_{name}" for name in dict.fromkeys((*ALWAYS, *metrics))]
    if monitor not in computed:
        meaning = f"{_one_of(computed)} (or add {monitor.removeprefix('val_')} to metrics)"
        wrong = PydanticCustomError("meaning", "{meaning}", {"meaning": meaning})
        details = InitErrorDetails(type=wrong, loc=(*within, "monitor"), input=monitor)
        raise ValidationError.from_exception_data("monitor", [details])


def metrics_for(names: Sequence[str], multi_label: bool) -> list[str]:
    """Returns the metrics of a spec that names these; those of several labels include the usual.

    Raises:
        ValueError: One does not apply to the labels.
    """
    if not names and not multi_label:
        return []
    from isotune.metrics import METRICS  # here, as it takes NumPy, which most specs do not

    for name in names:
        if name in METRICS and not METRICS[name].applies(multi_label):
            fitting = [each for each, metric in METRICS.items() if metric.applies(multi_label)]
            labels = "may have several labels" if multi_label else "has one label"
            raise ValueError(
                f"{name} is not defined where an image {labels}; what is: {', '.join(fitting)}"
            )
    return list(dict.fromkeys([*names, MULTI_LABEL] if multi_label else names))


def _one_of(names: Iterable[str]) -> str:
    *others, last = (f"'{name}'" for name in names)
    return f"{', '.join(others)} or {last}"
