"""Records a trace: what one side computes of an experiment, and how much it differs from itself."""

from __future__ import annotations

from itertools import islice
from typing import Any

from isotune.data.integrity.broken import BrokenImageError, fault
from isotune.distributed.group import Group
from isotune.distributed.joined import Joined, in_turn
from isotune.equivalence.machine import describe_machine
from isotune.equivalence.recording.drift import drift_of, predictions_of
from isotune.equivalence.recording.live import LiveSide, Step
from isotune.equivalence.recording.steps import NO_COMPANION, Companion, Recording, record_steps
from isotune.equivalence.traces.trace import Side, Trace
from isotune.errors import DatasetError, SpecError
from isotune.experiment.agreement import check_same_spec, check_same_start
from isotune.interfaces.dataset import Batch
from isotune.interfaces.versions import versions
from isotune.models.build import freezing_plans
from isotune.plugins import Plugins
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec
from isotune.training.isolation import isolated
from isotune.training.last_batch import check_last_batch
from isotune.training.micro_batches import epoch_micro_batches
from isotune.training.session import Session
from isotune.training.step_plan import step_plan


def record(
    spec: ExperimentSpec,
    backend: str,
    device: str,
    plugins: Plugins,
    recording: Recording,
    joined: Joined | None = None,
    companion: Companion = NO_COMPANION,
) -> Trace:
    """Records a trace of an experiment, with its whole model.

    Args:
        spec: The experiment.
        backend: Name of the backend.
        device: As for ``isotune.run``.
        plugins: Where backends and backbones are found.
        recording: What is recorded.
        joined: The processes that compute the experiment; None if this one is alone.
        companion: Completes what is traced, such as by whole arrays.

    Returns:
        The trace; predictions are in that of process 0 only.

    Raises:
        IsotuneError: one of its kinds, with a sentence that says what to change.
    """
    others = joined or Joined(Group(), backend)
    group = others.group
    check_same_spec(others, spec)
    session = in_turn(group, lambda: Session.open(spec, backend, device, plugins, joined=joined))
    try:
        with isolated(session.backend):
            model = in_turn(group, session.new_model)
            check_same_start(session, model)
            live = group.together(lambda: live_side(session, model))
            steps, images = group.together(lambda: _images(session, recording))
            found = record_steps(live, steps, recording, images, companion)
            return Trace(
                side_of(session),
                dump_spec(session.spec),
                session.classes,
                found.start,
                found.layers,
                found.steps,
                drift_of(found.courses, recording.drift),
                predictions_of(found.courses, images),
            )
    finally:
        session.images.caches.close()


def live_side(session: Session, model: Any) -> LiveSide:
    """Returns an experiment's model with a trainer, ready for the first epoch.

    Raises:
        SpecError: A pattern matches no parameter, nothing is left to train, or a training batch is
            too small for BatchNorm.
    """
    backend = session.backend
    shapes = backend.state_adapter.model_shapes(model)
    freezing = freezing_plans(session.spec, session.entry, shapes)
    check_last_batch(session, model, freezing, 1)
    trainer = backend.trainer(model, session.plan)
    trainer.freeze(freezing(1))
    return LiveSide(backend, model, trainer, session.plan, session.normalization, session.group)


def _images(session: Session, recording: Recording) -> tuple[list[Step], list[Batch]]:
    """Returns the training steps, and the validation images."""
    try:
        steps = first_steps(session, recording)
        return steps, validation_images(session, recording.predictions)
    except BrokenImageError as error:
        raise DatasetError(f"{fault(error)}.") from error


def first_steps(session: Session, recording: Recording) -> list[Step]:
    """Returns the first steps of an experiment that are recorded, up to the end of an update.

    Raises:
        SpecError: The first epoch has too few.
        BrokenImageError: An image cannot be read.
    """
    train, spec = session.training_batches(), session.spec
    if recording.steps > len(train):
        raise SpecError(
            f"{recording.steps} steps cannot be traced: all of them belong to the first epoch,"
            f" which has {len(train)}; trace fewer, or take a smaller batch_size."
        )
    schedule = epoch_micro_batches(spec, session.plan, train, 0, session.division)
    own = len(session.division.own)
    parts = [schedule[start : start + own] for start in range(0, len(schedule), own)]
    wanted = max(recording.steps, recording.drift)
    ends = [number for number, each in enumerate(parts, 1) if each[-1].apply_update]
    count = next((end for end in ends if end >= wanted), len(train))
    return [
        Step(batch, tuple(step_plan(spec, len(train), number, each) for each in parts[number]))
        for number, batch in enumerate(islice(train.epoch(0), count))
    ]


def validation_images(session: Session, count: int) -> list[Batch]:
    """Returns the first validation images, so many or all of them.

    Raises:
        BrokenImageError: An image cannot be read.
    """
    batches, left = list[Batch](), count
    for batch in session.validation_batches().epoch(0) if count else ():
        batches.append(Batch(batch.images[:left], batch.labels[:left]))
        left -= len(batches[-1])
        if not left:
            break
    return batches


def side_of(session: Session) -> Side:
    """Returns who computes an experiment."""
    backend = session.backend
    return Side(
        backend.name,
        backend.device,
        session.spec.precision,
        session.spec.compile,
        session.group.place.processes,
        backend.threads(),
        versions(backend),
        {name: str(value) for name, value in describe_machine().items()},
    )
