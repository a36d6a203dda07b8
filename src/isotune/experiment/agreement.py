"""Whether all processes of a run would train the same experiment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from isotune.distributed.group import Group
from isotune.distributed.joined import Joined
from isotune.errors import BackendError, DatasetError, IsotuneError, SpecError, WeightsError
from isotune.experiment.changes import fields_of
from isotune.experiment.listed_images import listed_images, listed_split
from isotune.interfaces.checkpoint import digest
from isotune.interfaces.dataset import ImageSource
from isotune.interfaces.versions import versions
from isotune.runs.images import ImagesSummary, summarize_images
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec
from isotune.training.session import Session

MAY_DIFFER = ("dataset.path", "backbone.weights", "workers", "cache.memory", "cache.disk")
"""Fields of a spec that a machine may have for itself; what the paths lead to is compared."""

Account = dict[str, Any]
"""What has to be the same in all processes, in JSON's types."""


def check_same_spec(others: Joined, spec: ExperimentSpec) -> None:
    """Checks that the processes have the same versions and the same spec.

    Args:
        others: The processes.
        spec: The loaded spec.

    Raises:
        IsotuneError: A process has others than process 0; every process raises the same sentence,
            which names it.
    """
    if others.backend is None:
        return
    check_divisible(spec.shards, others.group.place.processes)
    fields = fields_of(dump_spec(spec))
    account = {
        "versions": {"backend": others.backend.name, **versions(others.backend)},
        "spec": {name: value for name, value in fields.items() if name not in MAY_DIFFER},
    }
    _compare(others.group, account, _other_spec)


def check_same_start(session: Session, model: Any) -> None:
    """Checks that the processes have the same images, and a model with the same values.

    Args:
        session: The experiment.
        model: The native model that training starts from.

    Raises:
        IsotuneError: As :func:`check_same_spec`.
    """
    if session.group.place.alone:
        return
    images = session.images
    listed = summarize_images(listed_images(session, contents=images.check is None))
    account = {
        **_images(images.splits, listed),
        "weights": digest(session.backend.state_adapter.export_model(model)),
    }
    _compare(session.group, account, _other_start)


def check_same_images(
    group: Group, source: ImageSource, spec: ExperimentSpec, data: str | Path | None = None
) -> None:
    """Checks that the processes have the same images to evaluate.

    Args:
        group: The processes.
        source: The images.
        spec: The experiment.
        data: Folder of the images, if it is not the spec's.

    Raises:
        DatasetError: As :func:`check_same_spec`.
    """
    if group.place.alone:
        return
    listed = summarize_images(listed_split("evaluated", source, spec.dataset, data))
    _compare(group, _images({"evaluated": source}, listed), _other_images)


def check_divisible(shards: int, processes: int) -> None:
    """Checks that so many processes can compute so many shards of a batch.

    Raises:
        SpecError: The number of shards neither divides that of processes nor the other way round.
    """
    if shards % processes and processes % shards:
        fewer = [str(count) for count in range(1, shards + 1) if shards % count == 0]
        raise SpecError(
            f"shards: {shards} shards cannot be divided among {processes} processes: start"
            f" {', '.join(fewer)} or a multiple of {shards}."
        )


def _compare(
    group: Group,
    account: Account,
    differ: Callable[[str, Account, Account], Iterator[IsotuneError]],
) -> None:
    messages = group.exchange(json.dumps(account).encode())
    first, *others = (json.loads(message) for message in messages)
    for rank, other in enumerate(others, 1):
        for error in differ(f"process {rank}", other, first):
            raise error


def _other_spec(who: str, other: Account, first: Account) -> Iterator[IsotuneError]:
    for name, here, there in _unequal(other["versions"], first["versions"]):
        yield BackendError(
            f"{who} has {name} {here}, and process 0 has {there}: install the same versions on"
            " every machine."
        )
    for name, here, there in _unequal(other["spec"], first["spec"]):
        yield SpecError(
            f"{name}: is {here!r} in {who}, and {there!r} in process 0: give every process the"
            " same spec."
        )


def _images(splits: Mapping[str, ImageSource], listed: ImagesSummary) -> Account:
    return {
        "classes": list(next(iter(splits.values())).classes),
        "images": {split: len(source) for split, source in splits.items()},
        "fingerprints": dict(listed.fingerprints),
    }


def _other_start(who: str, other: Account, first: Account) -> Iterator[IsotuneError]:
    yield from _other_images(who, other, first)
    if other["weights"] != first["weights"]:
        yield WeightsError(
            f"backbone.weights: {who} starts from other values than process 0: give every machine"
            " the same file of weights."
        )


def _other_images(who: str, other: Account, first: Account) -> Iterator[IsotuneError]:
    advice = "give every machine the same images, and name their folder in dataset.path"
    if other["classes"] != first["classes"]:
        yield DatasetError(
            f"dataset: {who} has the classes {', '.join(other['classes'])}, and process 0 has"
            f" {', '.join(first['classes'])}: {advice}."
        )
    for split, here, there in _unequal(other["images"], first["images"]):
        yield DatasetError(
            f"dataset: {who} has {here} images in '{split}', and process 0 has {there}: {advice}."
        )
    for split, _, _ in _unequal(other["fingerprints"], first["fingerprints"]):
        yield DatasetError(
            f"dataset: {who} has other images in '{split}' than process 0, by their names, labels"
            f" or contents: {advice}."
        )


def _unequal(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            yield name, here.get(name), there.get(name)
