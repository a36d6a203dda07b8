"""Exports a run: writes a file, compares it with the run, and only then puts it in place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import isotune
from isotune.errors import DatasetError, RunError, SpecError, nearest
from isotune.experiment.open import open_run
from isotune.experiment.result import Run
from isotune.exporting.card.card import RENDERERS, write_card
from isotune.exporting.formats import BackendFormat, OnnxFormat
from isotune.exporting.manifest import (
    ExportManifest,
    Origin,
    Precision,
    Preprocess,
    VerificationReport,
)
from isotune.exporting.onnx.preprocess import check_transforms, prepend_transforms
from isotune.exporting.onnx.reduce import measured_images, reduce_precision
from isotune.exporting.onnx.write import import_onnx
from isotune.exporting.verification import NO_FILE, Limits, check_unchanged, verify
from isotune.exporting.writer import ONNX, check_size, reference, write_graph, writer
from isotune.interfaces.dataset import ImageSource
from isotune.interfaces.versions import versions
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.runs.images import read_images, summarize_images
from isotune.runs.state_files import state_digest
from isotune.spec.load import dump_spec

FORMATS = {".onnx": ONNX, ".mindir": "mindir"}
"""File formats by ending."""

CARDS = tuple(RENDERERS)
"""Endings of model cards."""

Tell = Callable[[str], None]
"""Shows a line on what is done at the moment."""


@dataclass(frozen=True)
class Exported:
    """What :func:`export` wrote.

    Attributes:
        path: The file.
        manifest: Its metadata, with the report of its verification; None for a model card.
    """

    path: Path
    manifest: ExportManifest | None = field(default=None, repr=False)

    @property
    def report(self) -> VerificationReport | None:
        """How the file compares with the run; None for a model card."""
        return None if self.manifest is None else self.manifest.verification


def export(
    run: Run | str | Path,
    file: str | Path,
    *,
    precision: Precision = "fp32",
    preprocess: Preprocess = "normalize",
    accept_loss: float | None = None,
    about: str | Path | None = None,
    data: str | Path | None = None,
    backend: str | None = None,
    device: str = "auto",
    checkpoint: str = "best",
    plugins: Plugins = default_plugins,
    tell: Tell = lambda line: None,
) -> Exported:
    """Writes a run's model to a file, after it was compared with the run, or writes a model card.

    Both models evaluate every validation image. If they do not agree, no file is written. For a
    card (``.md``, ``.html``), the run evaluates them once.

    Args:
        run: A run, or a run folder.
        file: The file, whose ending says what it is: ``.onnx``, ``.mindir``, ``.md`` or
            ``.html``. An existing one is replaced.
        precision: What the file's model computes in.
        preprocess: What of the preprocessing is in the graph: ``normalize``, or ``full`` for
            the validation transforms, too.
        accept_loss: Largest loss of accuracy, in [0, 1], with another precision than fp32; None
            takes 0.01.
        about: For a card, a YAML file with what only the author knows; see
            :class:`isotune.exporting.card.about.About`.
        data: Folder of another dataset to compare on, as :meth:`Run.evaluate` takes it. Its
            training images calibrate int8 where those of the run cannot be read.
        backend: Name of the backend that writes the graph; None takes the best usable one. For a
            card, the backend that evaluates the run, as :func:`isotune.open_run` takes it.
        device: Where the run is evaluated.
        checkpoint: As :func:`isotune.open_run` takes it, if `run` is a folder.
        plugins: Where backends and backbones are found.
        tell: Shows progress.

    Raises:
        SpecError: The file's ending is none of a format, the images have no fixed size, or
            options do not go together.
        BackendError: No usable backend can write the model.
        RunError: The exported model does not agree with the run, is larger than its format
            allows, or the file cannot be written.
        DatasetError: The validation images are missing or broken, or for int8 the training images.
    """
    target = Path(file)
    if target.is_dir():
        raise RunError(f"{target}: is a folder; name a file.")
    if target.suffix.lower() in CARDS:
        if (precision, preprocess, accept_loss) != ("fp32", "normalize", None):
            raise SpecError(
                f"{target}: precision, preprocess and accept_loss are for models, not for cards."
            )
        if not isinstance(run, Run):
            run = open_run(
                run, backend=backend, device=device, checkpoint=checkpoint, plugins=plugins
            )
        return Exported(write_card(run, target, about=about, data=data))
    if about is not None:
        raise SpecError(f"{target}: about is for a model card, {' or '.join(CARDS)}.")
    form = _form(target)
    _check_options(target, form, precision, preprocess)
    limits = Limits.of(precision, preprocess, accept_loss)
    trained = reference(run, device, checkpoint, form, plugins)
    check_size(trained, form)
    source = _validation_images(trained, data)
    if preprocess == "full":
        check_transforms(trained.spec.transforms.val or ())
    measured = measured_images(trained, precision, source, data)
    writing = writer(trained, form, backend, plugins)
    manifest = _manifest(trained, writing, precision, preprocess)
    kind = OnnxFormat() if form == ONNX else BackendFormat(form, writing.backend)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
            draft = Path(folder) / f"draft.{form}"
            tell(f"writing the graph through {writing.backend.name}")
            write_graph(writing, form, draft)
            reduce_precision(draft, precision, measured, trained.spec)
            if preprocess == "full":
                prepend_transforms(draft, trained.spec.transforms.val or ())
            kind.write_metadata(draft, manifest)
            tell(f"comparing on {len(source)} images")
            with _nameless(draft):
                comparison = verify(trained, kind.open(draft), source, limits)
                manifest = manifest.model_copy(update={"verification": comparison.report})
                kind.write_metadata(draft, manifest)
                check_unchanged(kind.open(draft), manifest, comparison)
            draft.replace(target)
    except OSError as error:
        raise RunError(f"{target}: cannot be written: {error.strerror}.") from error
    return Exported(target, manifest)


@contextmanager
def _nameless(draft: Path) -> Iterator[None]:
    """Leaves the draft out of messages: nobody will find it."""
    try:
        yield
    except RunError as error:
        reason = str(error).removeprefix(f"{draft}: ")
        if reason == str(error):
            raise
        raise RunError(f"the exported file failed: {reason} {NO_FILE}") from error


def _form(path: Path) -> str:
    if form := FORMATS.get(path.suffix.lower()):
        return form
    known = (*FORMATS, *CARDS)
    raise SpecError(
        f"{path}: its ending should say what it is: {', '.join(known)}."
        f"{nearest(path.suffix, known)}"
    )


def _check_options(path: Path, form: str, precision: Precision, preprocess: Preprocess) -> None:
    if form == ONNX:
        import_onnx()
    elif (precision, preprocess) != ("fp32", "normalize"):
        raise SpecError(
            f"{path}: other precisions and preprocessing in the graph are for .onnx files;"
            f" {path.suffix} files have fp32 and the normalization."
        )


def _validation_images(run: Run, data: str | Path | None) -> ImageSource:
    try:
        return run.open_images(None, data)
    except DatasetError as error:
        if data is not None:
            raise
        raise DatasetError(
            f"{error} An exported model is compared with its run on images: --data DIR takes others"
            " with the run's classes."
        ) from error


def _manifest(
    run: Run, writing: Run, precision: Precision, preprocess: Preprocess
) -> ExportManifest:
    weights, thresholds = run.plan.class_weights, run.thresholds
    spec = dump_spec(run.spec)
    listed = None if run.spec.dataset.split is None else read_images(run.path)
    return ExportManifest(
        isotune=isotune.__version__,
        name=run.spec.name,
        classes=list(run.classes),
        class_weights=None if weights is None else weights.tolist(),
        thresholds=None if thresholds is None else thresholds.tolist(),
        transforms=spec["transforms"]["val"],
        spec=spec,
        images={} if listed is None else dict(summarize_images(listed).fingerprints),
        origin=Origin(
            run=run.path.name,
            backend=writing.backend.name,
            epoch=run.best.epoch,
            sha256=model_digest(run),
            versions=versions(writing.backend),
        ),
        precision=precision,
        preprocess=preprocess,
    )


def model_digest(run: Run) -> str:
    """Returns the SHA-256 of a run's model: that of its checkpoint's file of weights."""
    state = run.backend.state_adapter.export_model(run.model)
    return state_digest(state)
