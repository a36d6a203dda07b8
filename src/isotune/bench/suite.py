"""Runs the measurements of ``isotune bench`` one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from isotune.bench.processes import (
    isotune_figures,
    native_data,
    native_figures,
    native_loop,
)
from isotune.bench.setting import Setting
from isotune.bench.synthetic import make_dataset
from isotune.equivalence.machine import describe_machine
from isotune.errors import DatasetError, IsotuneError
from isotune.interfaces.versions import versions
from isotune.storage.paths import is_dir

Measurement = dict[str, Any]
"""A dict with ``kind``, ``by``, ``setting`` and either ``figures`` or ``error``."""

FORMAT = 1
"""Version of the file format."""


@dataclass(frozen=True)
class Suite:
    """The measurements of a call.

    Attributes:
        settings: settings of the training steps.
        data: a dataset's folder for the data pipeline and for cached features, or None.
        native: a folder with hand-written loops, ``BACKEND_loop.py``, or None.
    """

    settings: Sequence[Setting]
    data: Path | None = None
    native: Path | None = None

    def run(self, log: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
        """Runs all measurements and returns the content of the results file as plain data.

        A failed measurement is stored with its ``error``; the others are still run.

        Args:
            log: called with a line after each measurement.

        Raises:
            IsotuneError: all measurements failed.
        """
        return collect(self._measurements(), log)

    def _measurements(self) -> Iterator[Measurement]:
        for setting in self.settings:
            yield from self._steps(setting)
        if self.data is not None:
            yield from self._data(self.data)

    def _steps(self, setting: Setting) -> Iterator[Measurement]:
        kind = "cached" if setting.mode == "cached" else "step"
        measure = partial(isotune_figures, kind, setting, self.data)
        yield (measurement := measured("step", "isotune", setting, measure))
        if "figures" in measurement and (script := self._loop(setting)):
            measure = partial(native_figures, script, setting, measurement["figures"]["device"])
            yield measured("step", "native", setting, measure)

    def _data(self, data: Path) -> Iterator[Measurement]:
        first = replace(self.settings[0], mode="finetune", precision="fp32", compile=False)
        first = replace(first, processes=1)
        yield measured("data", "isotune", first, partial(isotune_figures, "data", first, data))
        for backend in dict.fromkeys(setting.backend for setting in self.settings):
            setting = replace(first, backend=backend)
            if script := self._loop(setting):
                measure = partial(native_data, script, setting, data)
                yield measured("data", "native", setting, measure)

    def _loop(self, setting: Setting) -> Path | None:
        return native_loop(self.native, setting) if self.native else None


def collect(measurements: Iterable[Measurement], log: Callable[[str], None]) -> dict[str, Any]:
    """Makes measurements one after the other; returns the content of the results file.

    Args:
        measurements: makes each when it is asked for.
        log: called with a line after each measurement.

    Raises:
        IsotuneError: all measurements failed.
    """
    done = []
    for measurement in measurements:
        done.append(measurement)
        log(line(measurement))
    if all("error" in measurement for measurement in done):
        raise IsotuneError("nothing could be measured.")
    return {
        "format": FORMAT,
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": _versions(done),
        "measurements": done,
    }


class Describable(Protocol):
    """A setting that is kept in the results."""

    def as_json(self) -> dict[str, Any]:
        """Returns the fields as plain data."""


def measured(
    kind: str, by: str, setting: Describable, measure: Callable[[], dict[str, Any]]
) -> Measurement:
    """Runs `measure`; returns a measurement with its figures or its error."""
    about = {"kind": kind, "by": by, "setting": setting.as_json()}
    try:
        return {**about, "figures": measure()}
    except IsotuneError as error:
        return {**about, "error": str(error)}


def line(measurement: Measurement) -> str:
    """Returns a line about a finished measurement."""
    setting, kind = measurement["setting"], measurement["kind"]
    about = f"{measurement['by']} {kind}: {of(setting)}, batch {setting['batch']}"
    if kind != "inference":
        about += f", {setting['mode']}, {setting['precision']}"
    if "error" in measurement:
        return f"{about}: {measurement['error']}"
    figures = measurement["figures"]
    if kind == "inference":
        return f"{about}: {figures['batch_ms']:.1f} ms"
    if kind == "step":
        return f"{about}: {figures['step_ms']:.1f} ms"
    return f"{about}: {figures['images_per_second']['first']:.0f} images/s"


def of(setting: dict[str, Any]) -> str:
    """Returns the backend, if one was named, and the model of a setting."""
    return ", ".join(filter(None, (setting["backend"], setting["model"])))


def benchmark_images(data: Path | None, generated: int, stack: ExitStack) -> Path | None:
    """Returns a dataset's folder: `data`, or a folder of generated images, or None.

    Args:
        data: a dataset's folder, or None.
        generated: number of training images to generate if `data` is None; 0 for none.
        stack: removes generated images when it is closed.

    Raises:
        DatasetError: `data` is not a folder of a dataset.
    """
    if data is not None:
        if not is_dir(data / "train"):
            raise DatasetError(f"{data}: should be a folder with train/ and val/.")
        return data.resolve()
    if not generated:
        return None
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="isotune-bench-")))
    return make_dataset(folder / "images", -(-generated // 2), -(-generated // 8))


def settings(
    backends: Sequence[str],
    models: Sequence[str],
    batches: Sequence[int],
    modes: Sequence[str],
    precisions: Sequence[str],
    base: Setting,
) -> list[Setting]:
    """Returns a setting for every combination; other fields are those of `base`."""
    return [
        replace(base, backend=backend, model=model, batch=batch, mode=mode, precision=precision)
        for model, batch, mode, precision, backend in itertools.product(
            models, batches, modes, precisions, backends
        )
    ]


def _versions(measurements: Sequence[Measurement]) -> dict[str, str]:
    """Returns those of the core and of every backend that was measured."""
    merged = versions()
    for measurement in measurements:
        merged |= measurement.get("figures", {}).get("versions", {})
    return merged
