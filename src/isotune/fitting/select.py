"""Selects the most accurate backbone that the time allows, and the backend to train it with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from isotune.catalogue.entries import chosen_backbone
from isotune.errors import WeightsError
from isotune.fitting.backbones import Candidate, candidates, without_weights
from isotune.fitting.budget import SHARE, VIEWS, features_seconds
from isotune.fitting.choose import input_size, usual_precision
from isotune.fitting.look import Data
from isotune.fitting.measure import Machine, measure
from isotune.interfaces.backend import Backend
from isotune.plugins import Plugins
from isotune.spec.backbone import BackboneSpec
from isotune.weights.fetch import locate_weights, present_weights

log = logging.getLogger(__name__)

Measured = tuple[Candidate, Machine]


def usual_backend(plugins: Plugins) -> str:
    """Returns the backend to use if none is named: one that can be used, on the best device.

    A device other than a CPU is better than one; of equals, the first is taken that writes ONNX,
    which runs anywhere.

    Raises:
        BackendError: No backend can be used; the message says why.
    """
    reports = [report for report in plugins.reports() if report.problem is None]
    if len(reports) < 2:
        return plugins.only_usable()
    exporting = plugins.exporting("onnx")
    names = [*exporting, *(each.name for each in reports if each.name not in exporting)]
    best = min(reports, key=lambda each: (each.devices[0] == "cpu", names.index(each.name)))
    return best.name


class Selection:
    """Selects a backbone for some images on a backend.

    Args:
        data: The images.
        backend: The backend on its device.
        plugins: Where backbones are found.
        clock: Returns the time in seconds.

    Attributes:
        downloading: Seconds spent on downloads, which count for nobody's time budget.
    """

    def __init__(
        self, data: Data, backend: Backend, plugins: Plugins, clock: Callable[[], float]
    ) -> None:
        self._data, self._backend, self._plugins, self._clock = data, backend, plugins, clock
        self._online = True
        self.downloading = 0.0

    def named(self, given: Mapping[str, Any]) -> Measured:
        """Returns the backbone that a user names, with given weights or any that are there."""
        spec = BackboneSpec(name=str(given["name"]))
        entry = chosen_backbone(spec, self._backend.name, self._plugins)
        names = [*entry.weights]
        present = [name for name in names if present_weights(entry, name) is not None]
        weights = given.get("weights") or next(iter([*present, *names]), "none")
        published = entry.weights.get(weights)
        return self._measured(
            Candidate(
                entry.with_weights(weights),
                weights,
                published.accuracy if published else None,
                published.gflops if published else None,
            )
        )

    def best(self, seconds: float) -> Measured:
        """Returns the most accurate backbone whose features are computed in time.

        Args:
            seconds: Seconds that are left.
        """
        known = candidates(self._backend, self._plugins)
        present = [each for each in known if each.present]
        cheapest = sorted(present or known, key=lambda each: each.gflops or 0.0)
        if not present and not (cheapest and self._download(cheapest[0])):
            return self._measured(without_weights(self._backend, self._plugins))
        reference = self._measured(cheapest[0])
        for candidate in known:
            if candidate is reference[0]:
                break
            if not self._may_fit(candidate, *reference, seconds):
                continue
            if candidate.present or self._download(candidate):
                measured = self._measured(candidate)
                if self._fits(measured[1], seconds):
                    return measured
        return reference

    def _may_fit(
        self, candidate: Candidate, known: Candidate, machine: Machine, seconds: float
    ) -> bool:
        """Whether a backbone is fast enough, by its operations and those of one measured."""
        if not candidate.gflops or not known.gflops:
            return True
        forward = machine.forward * candidate.gflops / known.gflops
        cost = (VIEWS[0] * self._data.train + self._data.val) * forward
        return cost <= seconds * SHARE

    def _fits(self, machine: Machine, seconds: float) -> bool:
        return features_seconds(self._data, machine, VIEWS[0]) <= seconds * SHARE

    def _measured(self, candidate: Candidate) -> Measured:
        size = input_size(self._data, candidate)
        precision = usual_precision(self._backend.device, self._backend.precisions())
        classes = len(self._data.classes)
        return candidate, measure(candidate, self._backend, size, classes, precision, self._clock)

    def _download(self, candidate: Candidate) -> bool:
        """Whether weights were downloaded; after a failure nothing else is."""
        if not self._online:
            return False
        begin = self._clock()
        try:
            locate_weights(candidate.entry, candidate.weights)
        except WeightsError as error:
            log.warning("%s", error)
            self._online = False
        self.downloading += self._clock() - begin
        return self._online
