"""The sections of a card: what the model is, and what is known of its use and its origin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath

import yaml

from isotune.exporting.card.document import Block, Facts, Items, Listing, Paragraph, Rows, Section
from isotune.exporting.card.facts import UNKNOWN, CardFacts
from isotune.exporting.card.results import result_sections
from isotune.printable import printable
from isotune.reports.describe import described_freeze, described_head
from isotune.reports.metrics import heading
from isotune.reports.numbers import NONE, count, duration, percent
from isotune.reports.tables import Table
from isotune.runs.checkpoint import WEIGHTS
from isotune.runs.schema import Manifest
from isotune.runs.state_files import MANIFEST
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec
from isotune.spec.loss import LossName
from isotune.spec.transforms import output_size
from isotune.storage.downloads.address import shown

NAMED = 20
"""Number of classes that a sentence names."""

PROBABILITIES: dict[LossName, str] = {
    "cross_entropy": "a softmax: the probabilities of all classes sum to 1",
    "binary_cross_entropy": "a sigmoid of each output: probabilities need not sum to 1",
}
"""What the probabilities of a model are, by the loss of its training."""


def sections(facts: CardFacts) -> list[Section]:
    """Returns the sections of a card, in order."""
    return [
        _model(facts),
        _use(facts),
        _license(facts),
        *result_sections(facts),
        _training(facts),
        _provenance(facts),
    ]


def _model(facts: CardFacts) -> Section:
    run, figures = facts.run, facts.figures
    accuracy = percent(facts.evaluation.accuracy, 2)
    text = (
        f"This model tells {count(len(run.classes), 'class', 'classes')} of images apart:"
        f" {_some(run.classes)}. It classifies {accuracy} of {facts.images} correctly."
    )
    parameters = "unknown" if figures.parameters is None else f"{figures.parameters:,}"
    if figures.trainable is not None:
        parameters += f"; {figures.trainable:,} of them trained in the first epoch"
    size = output_size(run.spec.transforms.val or ())
    pixels = "the size of each image" if size is None else f"{size[1]} x {size[0]} pixels"
    rows = {
        "Backbone": run.spec.backbone.name,
        "Head": described_head(run.spec.head),
        "Frozen": described_freeze(run.spec.freeze),
        "Parameters": parameters,
        "Input": f"RGB, {pixels}; the specification below has transforms and normalization",
        "Output": _output(facts),
    }
    if run.spec.ema is not None:
        decay = f"with decay {run.spec.ema.decay:g}"
        rows["Weights"] = f"exponential moving averages, {decay}, of those that were trained"
    return Section("Model", [Paragraph(text), Facts(rows)])


def _output(facts: CardFacts) -> str:
    run = facts.run
    if run.spec.head.outputs == "single":
        return f"a sigmoid: the probability of {run.classes[-1]}; {run.classes[0]} has the rest"
    return PROBABILITIES[run.spec.loss.name]


def _use(facts: CardFacts) -> Section:
    about = facts.about
    rows = {
        "Intended use": about.intended_use or UNKNOWN,
        "Uses out of scope": about.out_of_scope or UNKNOWN,
        "Risks and biases": about.risks or UNKNOWN,
        "Limitations": about.limitations or UNKNOWN,
    }
    return Section(
        "Use and limitations",
        [
            Facts(rows),
            Paragraph("Limitations that follow from the run:"),
            Items(list(_limitations(facts))),
        ],
    )


def _limitations(facts: CardFacts) -> Iterable[str]:
    run, evaluation = facts.run, facts.evaluation
    yield "The model always names one of its classes, whatever an image shows."
    if evaluation.have_images.sum() < len(run.classes):
        without = [n for n, has in zip(run.classes, evaluation.have_images, strict=True) if not has]
        yield f"No figure is from an image of {_some(without)}."
    if facts.same_images and facts.is_best:
        monitored = heading(run.spec.checkpoint.monitor)
        yield (
            f"The best epoch was chosen by {monitored} on the validation images that the figures"
            " below are from, so they are optimistic. No figure is from images without a part in"
            " that choice."
        )
    shared = None if facts.listed is None else facts.listed.shared
    if shared:
        has = "has" if shared == 1 else "have"
        yield f"{count(shared, 'validation image')} {has} the same content as a training image."
    if facts.listed is None or shared is None:
        yield "Whether a validation image is also a training image is unknown."


def _license(facts: CardFacts) -> Section:
    rows = {
        "This model": facts.about.license or UNKNOWN,
        "Pretrained weights": _weights_license(facts),
        "Training images": facts.about.data_license or UNKNOWN,
    }
    return Section("License", [Facts(rows)])


def _weights_license(facts: CardFacts) -> str:
    weights, published = facts.run.spec.backbone.weights, facts.published
    if weights == "none":
        return "none were used"
    if published is None:
        return "unknown; they are a file of the author's, no published weights that Isotune knows"
    if published.license is None:
        return "unknown; terms of the images that they were trained on may apply"
    where = f", see {published.license_url}" if published.license_url else ""
    return f"{published.license}{where}; its terms may apply to this model, too"


def _training(facts: CardFacts) -> Section:
    text = (
        "The specification of the experiment, with every default. Of absolute paths it has only"
        " the last part, of addresses no user name, password or query."
    )
    return Section("Training", [Paragraph(text), Listing(public_spec(facts.run.spec), "yaml")])


def public_spec(spec: ExperimentSpec) -> str:
    """Returns a spec as YAML, without what should not leave a machine."""
    plain = dump_spec(spec)
    places = ((plain["dataset"], "path"), (plain["backbone"], "weights"))
    for part, name in places:
        if PurePath(part[name]).is_absolute():
            part[name] = PurePath(part[name]).name
        if part["url"] is not None:
            part["url"] = shown(part["url"])
    text = yaml.safe_dump(plain, sort_keys=False, width=90)
    return "\n".join(map(printable, text.splitlines()))


def _provenance(facts: CardFacts) -> Section:
    manifest, listed = facts.manifest, facts.listed
    unlisted = "unknown: the run is of a version that did not list its images"
    prints = {} if listed is None else listed.fingerprints
    rows = {
        "Pretrained weights": _pretrained(facts),
        "Training images": prints.get("train", unlisted),
        "Validation images": prints.get("val", unlisted),
        **_checkpoint(manifest),
        "Run": _state(facts),
        "Figures computed by": facts.run.engine,
    }
    blocks: list[Block] = [
        Paragraph(
            "Hashes are SHA-256: of files, and of the lines of each split in the run's list of"
            " images, which hold every image's class, name and hash."
        ),
        Facts(rows),
    ]
    if manifest is not None:
        blocks.append(Rows(_lineage(manifest), "Who trained, and from which step on"))
    return Section("Provenance", [*blocks, Rows(_versions(facts), "Versions of packages")])


def _checkpoint(manifest: Manifest | None) -> dict[str, str]:
    if manifest is None:
        return {"Checkpoint": "unknown: the run has not kept it"}
    return {
        "Checkpoint": f"{manifest.name}, after {count(manifest.step, 'training step')}; its"
        f" {MANIFEST}: {manifest.sha256.get(MANIFEST, 'unknown')}",
        "Weights of this model": manifest.sha256.get(WEIGHTS[manifest.weights], "unknown"),
    }


def _state(facts: CardFacts) -> str:
    state, seconds = facts.figures.state, facts.figures.seconds
    epochs = count(len(facts.figures.history), "epoch")
    trained = "" if seconds is None else f" in {duration(seconds)}"
    return f"{state} after {epochs}{trained}"


def _lineage(manifest: Manifest) -> Table:
    table = Table(["from step", "backend", "device"], ["right", "left", "left"])
    for entry in manifest.lineage:
        table.add(f"{entry.step:,}", entry.backend, entry.device)
    return table


def _versions(facts: CardFacts) -> Table:
    trained, here = facts.figures.versions, facts.versions
    table = Table(["package", "end of training", "for this card"], ["left", "left", "left"])
    for package in dict.fromkeys((*trained, *here)):
        table.add(package, trained.get(package, NONE), here.get(package, NONE))
    return table


def _pretrained(facts: CardFacts) -> str:
    spec, published = facts.run.spec.backbone, facts.published
    if spec.weights == "none":
        return "none; training began with random values"
    if published is None:
        name, begins = PurePath(spec.weights).name, spec.sha256
    else:
        place = f"{published.hub}, {published.file}" if published.hub else published.file
        name, begins = f"'{spec.weights}' ({place})", published.sha256
    if facts.pretrained is not None:
        return f"{name}: {facts.pretrained}, the file as it is now"
    if begins:
        return f"{name}: {begins}..., as the specification or the publisher has it"
    return f"{name}: unknown; the file is not on the machine that wrote this card"


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(names[:NAMED])
    return listed if len(names) <= NAMED else f"{listed} and {len(names) - NAMED} more"
