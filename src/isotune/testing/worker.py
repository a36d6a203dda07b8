"""One of the processes that :mod:`isotune.testing.groups` starts: what it computes goes to a file.

``python -m isotune.testing.worker FILE CLASS FOLDER CASE ...`` has the backend and the nets of a
contract's class, and writes ``FOLDER/RANK.npz``.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.distributed.group import Group
from isotune.errors import DatasetError, IsotuneError, TrainingError
from isotune.interfaces.backend import Backend
from isotune.interfaces.communicator import Alone, Place
from isotune.interfaces.division import Division
from isotune.testing.cases import CASES, KINDS, WHOLE, Case, learner_with_dropout
from isotune.testing.contract import Contract
from isotune.testing.divided import Update, train_parts
from isotune.testing.subject import Subject
from isotune.testing.values import batch
from isotune.training.isolation import isolated

Arrays = dict[str, NDArray[Any]]

BROKEN = DatasetError("images/bees/1.jpg: is broken.")
"""What the last process tells the others."""


BITS = [0x7F800001, 0x80000000, 0xFFC12345, 0x00000001, 0x7F800000]
"""A signaling NaN, -0.0, a NaN with a payload, the smallest number, infinity."""

DTYPES = ("float64", "int64", "int32", "int16", "uint8")


def values(rank: int) -> dict[str, NDArray[Any]]:
    """Returns what a process gives the others, by name: several dtypes, shapes, and odd numbers."""
    random = np.random.default_rng(rank)
    return {
        "float32": np.roll(np.array(BITS, np.uint32), rank).view(np.float32),
        **{dtype: np.frombuffer(random.bytes(48), dtype).reshape(2, -1) for dtype in DTYPES},
        "bool": np.array(rank % 2 == 0),
        "nothing": np.empty((0, 3), np.float32),
        "odd": random.integers(0, 256, 100_003, np.uint8),
    }


def trained(subject: Subject, case: Case, place: Place) -> Arrays:
    """Returns what a case comes to in this process: states, and the outputs of its own parts."""
    learner, results = learner_with_dropout(subject, case.plan), Arrays()
    for phase in case.phases(place):
        learner.trainer.freeze(phase.freeze)
        computed = train_parts(learner, phase.updates, case.plan, case.division(place))
        states = (learner.state(), learner.optimizer_state(), learner.average())
        for kind, state in zip(KINDS, states, strict=True):
            results |= {f"{phase.name}/{kind}/{name}": value for name, value in state.items()}
        for step, outputs in computed:
            at = f"{phase.name}/{step.plan.step}/{step.part.index}"
            results[f"{at}/logits"] = outputs.logits
            results[f"{at}/scalars"] = np.array([outputs.loss, outputs.grad_norm])
    return results


def refused(subject: Subject, place: Place) -> str:
    """Returns what a process says of a batch of which some shard has one image of 1 x 1.

    With four processes, the last one's shard has two.
    """
    update = Update([batch("single", 5, side=1)], 0.1, 0)
    division = Division(WHOLE.shards, place.processes, place.rank)
    try:
        train_parts(subject.learner(WHOLE), [update], WHOLE, division)
    except TrainingError as error:
        return str(error)
    return ""


def told(group: Group) -> str:
    """Returns the error of the last process as it reaches this one."""

    def work() -> None:
        if group.place.rank == group.place.processes - 1:
            raise BROKEN

    try:
        group.together(work)
    except IsotuneError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def results(backend: Backend, subject: Subject, cases: list[str]) -> Arrays:
    """Returns all that this process computes and hears, by name."""
    communicator, place = backend.communicator, backend.communicator.place
    found = {"place": np.array(astuple(place)), "threads": np.array(backend.threads())}
    for name in cases:
        case = CASES[name]
        if case.alone and not place.leads:
            continue
        backend.communicator = Alone() if case.alone else communicator
        computed = trained(subject, case, place)
        found |= {f"{name}/{key}": value for key, value in computed.items()}
    backend.communicator = communicator
    for name, value in values(place.rank).items():
        found[f"gathered/{name}"] = communicator.gather(value)
        found[f"broadcast/{name}"] = communicator.broadcast(value)
    found["refused"] = np.array(refused(subject, place))
    found["told"] = np.array(told(Group(communicator)))
    return found


def load(file: str, name: str) -> Contract:
    """Returns a test class of the contract, from its author's file."""
    spec = importlib.util.spec_from_file_location("contract_of_worker", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    contract: type[Contract] = getattr(module, name)
    return contract()


def main(file: str, name: str, folder: str, *cases: str) -> None:
    """Runs the cases and writes their results."""
    contract = load(file, name)
    backend = contract.opened()
    with isolated(backend):
        found = results(backend, contract.subject_of("tiny_bn"), list(cases))
        np.savez(Path(folder) / f"{backend.communicator.place.rank}.npz", **found)
        backend.communicator.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
