"""Records steps of a model in training: traced ones, and those of its drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from isotune.equivalence.recording.drift import Course, predict
from isotune.equivalence.recording.live import Change, LiveSide, Snapshot, Step, updates_of
from isotune.equivalence.recording.passes import Variant, state_values, variants_of, watch
from isotune.equivalence.recording.watching import StepRecorder
from isotune.equivalence.traces.trace import ITSELF, TracedStep
from isotune.interfaces.checkpoint import State, digest
from isotune.interfaces.dataset import Batch
from isotune.interfaces.tracer import Layer


@dataclass(frozen=True)
class Recording:
    """What is recorded.

    Attributes:
        steps: Number of traced steps, from the first one on; with ``accumulate``, those of the
            last update are completed.
        drift: Largest number of steps of drift, all within the first epoch, and completed alike.
        predictions: Largest number of validation images.
        variants: Whether to compute in each of the tracer's variants, too; a nudged batch is
            always computed.
    """

    steps: int = 1
    drift: int = 8
    predictions: int = 256
    variants: bool = True


class Companion:
    """Looks on while updates are traced, and completes what is traced; by default it does neither.

    Attributes:
        recorder: Is reported the arrays of all traced steps as they are, too; None takes none.
    """

    recorder: StepRecorder | None = None

    def watched(self, live: LiveSide, update: Sequence[Step]) -> None:
        """Is called when an update has been watched, and the side is as before it again.

        Args:
            live: The side; its model may not be changed.
            update: The update's steps.
        """

    def completed(self, step: TracedStep) -> TracedStep:
        """Returns a traced step with what this adds to it."""
        return step


@dataclass(frozen=True, eq=False)
class Recorded:
    """What is recorded of a model in training.

    Attributes:
        start: SHA-256 of each tensor at the start, by canonical name.
        layers: The model's layers.
        steps: The traced steps.
        courses: The run itself, and what it is when something changes, by the name of the change.
    """

    start: Mapping[str, str]
    layers: tuple[Layer, ...]
    steps: tuple[TracedStep, ...]
    courses: Mapping[str, Course]


NO_COMPANION = Companion()


def record_steps(
    live: LiveSide,
    steps: Sequence[Step],
    recording: Recording,
    images: Sequence[Batch] = (),
    companion: Companion = NO_COMPANION,
) -> Recorded:
    """Records steps of a model in training, from its present state, to which it returns.

    Args:
        live: The side.
        steps: Steps that follow each other; those after the last update are left out.
        recording: How many of them are traced. All of them are steps of drift.
        images: Images to predict after the last of them.
        companion: Completes what is traced.

    Raises:
        BackendError: The backend has no tracer.
    """
    layers = tuple(live.tracer.layers(live.trainer))
    variants, updates = variants_of(live, recording.variants), updates_of(steps)
    start, course, traced = live.snapshot(), Course(), list[TracedStep]()
    for update in updates:
        if len(traced) < recording.steps:
            before = live.snapshot() if traced else start
            traced += _trace(live, update, before, variants, course, companion)
        else:
            _go_on(live, update, course)
    course.logits = predict(live, images)
    courses = {ITSELF: course}
    if recording.drift or images:
        for name, variant in variants.items():
            live.restore(start)
            courses[name] = _changed(live, updates, variant, images, course.trains)
    live.restore(start)
    return Recorded(tensor_digests(start.model), layers, tuple(traced), courses)


def _trace(
    live: LiveSide,
    update: Sequence[Step],
    before: Snapshot,
    variants: Mapping[str, Variant],
    course: Course,
    companion: Companion,
) -> Iterator[TracedStep]:
    """Makes an update, watched as often as necessary and then once as a run makes it."""
    watched = watch(live, update, before, variants, companion.recorder)
    if not course.parameters:
        course.trains = frozenset(
            name.removeprefix("gradient/")
            for name in watched[0].values
            if name.startswith("gradient/")
        )
    companion.watched(live, update)
    for step, seen in zip(update, watched, strict=True):
        computed = live.train(step)
        after = live.snapshot() if step.updates else replace(before, model=live.model_state())
        same = computed.same(seen.computed)
        course.add(computed.loss, after.model)
        yield companion.completed(
            TracedStep(
                step.number,
                batch_digest(step.batch),
                step.plans[0].learning_rate,
                computed.loss,
                seen.same and same,
                {**seen.values, **state_values(before, after, step.updates)},
                same,
                seen.yardsticks,
            )
        )


def _go_on(
    live: LiveSide, update: Sequence[Step], course: Course, change: Change | None = None
) -> None:
    for step in update:
        course.add(live.train(step, change=change).loss, live.model_state())


def _changed(
    live: LiveSide,
    updates: Sequence[Sequence[Step]],
    variant: Variant,
    images: Sequence[Batch],
    trains: frozenset[str],
) -> Course:
    """Returns the course of a run in which something changes."""
    course = Course(trains)
    with variant.within:
        for number, update in enumerate(updates):
            _go_on(live, update, course, variant.change if number == 0 else None)
        course.logits = predict(live, images)
    return course


def batch_digest(batch: Batch) -> str:
    """Returns the SHA-256 of a batch's images and labels."""
    return digest({"images": batch.images, "labels": batch.labels})


def tensor_digests(state: State) -> dict[str, str]:
    """Returns the SHA-256 of each tensor, by its name."""
    return {name: digest({name: value}) for name, value in state.items()}
