"""A card says what is known of a run, and that the rest is unknown; it costs one evaluation."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isotune
from exporting.card.conftest import HOSTILE
from isotune.catalogue.entries import catalogue
from isotune.errors import DatasetError, RunError, SpecError
from isotune.experiment.result import Run
from isotune.exporting.card.card import make_card, write_card
from isotune.exporting.card.document import Facts, Matrix, Paragraph, Plot, Rows
from isotune.exporting.card.facts import CardFacts, gather
from isotune.exporting.card.markdown import as_markdown
from isotune.exporting.card.metadata import metadata
from isotune.exporting.card.sections import public_spec, sections
from isotune.interfaces.backbone import PublishedWeights
from isotune.runs.images import FILE
from isotune.runs.schema import LineageEntry
from isotune.training.evaluation import assess
from tiny import numpy_plugins

PLUGINS = numpy_plugins()


def said(facts: CardFacts) -> dict[str, str]:
    """Returns what a card's facts are, by section and name."""
    return {
        f"{section.title}: {name}": text
        for section in sections(facts)
        for block in section.blocks
        if isinstance(block, Facts)
        for name, text in block.rows.items()
    }


def rows(facts: CardFacts, caption: str) -> list[tuple[str, ...]]:
    """Returns the rows of the table with a caption."""
    blocks = [block for section in sections(facts) for block in section.blocks]
    [table] = [b.table for b in blocks if isinstance(b, Rows) and b.caption.startswith(caption)]
    return table.rows


def test_figures_and_hashes_are_those_of_the_run(facts: CardFacts, run: Run) -> None:
    evaluation, text = run.evaluate(), as_markdown(make_card(run))
    assert f"{100 * evaluation.accuracy:.2f}% of 18 validation images correctly" in text
    values = {name: value for name, value, _ in rows(facts, "Metrics")}
    assert values["macro F1"] == f"{100 * evaluation.metrics['macro_f1']:.2f}%"
    lines = (run.path / FILE).read_bytes().splitlines(keepends=True)
    known = said(facts)
    for split, name in (("train", "Training images"), ("val", "Validation images")):
        own = b"".join(line for line in lines if line.startswith(f'["{split}"'.encode()))
        assert known[f"Provenance: {name}"] == hashlib.sha256(own).hexdigest()
    best = json.loads((run.path / "checkpoints/index.json").read_text())["best"]
    weights = (run.path / "checkpoints" / best / "model.safetensors").read_bytes()
    assert known["Provenance: Weights of this model"] == hashlib.sha256(weights).hexdigest()
    assert known["Provenance: Checkpoint"].startswith(f"{best}, after ")
    assert [row[1:] for row in rows(facts, "Images by class")] == [("5", "5")] * 3 + [("3", "3")]
    assert [row[0] for row in rows(facts, "Epochs")].count(f"{run.best.epoch} (best)") == 1
    assert sum(int(images) for _, images, *_ in rows(facts, "Bins")) == 18


def test_a_mixed_runs_accuracy_of_training_is_explained(facts: CardFacts) -> None:
    mixed = replace(facts, figures=replace(facts.figures, mixing="cutmix 1"))
    texts = [
        " ".join(block.text for block in section.blocks if isinstance(block, Paragraph))
        for each in (facts, mixed)
        for section in sections(each)
        if section.title == "Learning curves"
    ]
    sentence = (
        "Training images were mixed (cutmix 1): for the train accuracy, the class with the largest"
        " share counted as true."
    )
    assert texts == ["", sentence]


def test_what_nobody_said_is_unknown(facts: CardFacts) -> None:
    known = said(facts)
    for name in ("Use and limitations: Intended use", "License: This model", "Data: Source"):
        assert known[name].startswith("unknown")
    assert metadata(facts)["license"] == "unknown"
    assert "base_model" not in metadata(facts)


@pytest.mark.parametrize(
    ("weights", "license"),
    [
        (PublishedWeights("a.pth", "0" * 8), "unknown; terms of the images"),
        (PublishedWeights("a.pth", "0" * 8, license="mit"), "mit; its terms may apply"),
        (catalogue()["vit_b_16"].weights["imagenet_swag"], "cc-by-nc-4.0, see https://github.com/"),
        (catalogue()["vit_b_16"].weights["imagenet"], "unknown; terms of the images"),
        (catalogue()["efficientnet_lite0"].weights["imagenet"], "apache-2.0; its terms"),
    ],
)
def test_the_license_of_weights_is_said_where_it_is_known(
    facts: CardFacts, weights: PublishedWeights, license: str
) -> None:
    assert said(started_from(facts, weights))["License: Pretrained weights"].startswith(license)


def started_from(facts: CardFacts, weights: PublishedWeights) -> CardFacts:
    spec = facts.run.spec
    spec = spec.model_copy(update={"backbone": spec.backbone.model_copy(update={"weights": "own"})})
    entry = replace(facts.run.entry, weights={"own": weights})
    return replace(facts, run=replace(facts.run, spec=spec, entry=entry))


def test_pretrained_weights_have_the_hash_of_their_file(
    facts: CardFacts, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path))
    backbone = run.spec.backbone.model_copy(update={"weights": "own.pth"})
    own = replace(run, spec=run.spec.model_copy(update={"backbone": backbone}))
    known = said(gather(own, None))["Provenance: Pretrained weights"]
    assert known == "own.pth: unknown; the file is not on the machine that wrote this card"
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/own.pth").write_bytes(b"weights")
    known = said(gather(own, None))["Provenance: Pretrained weights"]
    digest = hashlib.sha256(b"weights").hexdigest()
    assert known == f"own.pth: {digest}, the file as it is now"
    published = started_from(facts, PublishedWeights("a.pth", "57934424"))
    assert "'own' (a.pth): 57934424..." in said(published)["Provenance: Pretrained weights"]


def test_the_hub_reads_the_metadata(facts: CardFacts, run: Run) -> None:
    hub = pytest.importorskip("huggingface_hub")
    text = as_markdown(make_card(run))
    read = hub.ModelCard(text).data
    assert read.to_dict() == metadata(facts)
    assert (read.pipeline_tag, read.library_name) == ("image-classification", "isotune")
    results = {result.metric_type: result for result in read.eval_results}
    assert results["accuracy"].metric_value == pytest.approx(facts.evaluation.accuracy, abs=1e-6)
    assert results["f1"].dataset_type == "imagefolder"
    assert results["f1"].dataset_split == "val"
    weights = PublishedWeights("model.safetensors", "", hub="timm/resnet18.a1_in1k")
    values = metadata(started_from(facts, weights))
    assert hub.ModelCardData(**values).base_model == "timm/resnet18.a1_in1k"


def test_lineage_names_every_backend(facts: CardFacts) -> None:
    assert facts.manifest is not None
    entries = [
        LineageEntry(step=0, backend="torch", device="cuda:0"),
        LineageEntry(step=1_500, backend="mindspore", device="ascend:0"),
    ]
    changed = replace(facts, manifest=facts.manifest.model_copy(update={"lineage": entries}))
    expected = [("0", "torch", "cuda:0"), ("1,500", "mindspore", "ascend:0")]
    assert rows(changed, "Who trained") == expected


def test_it_costs_one_evaluation(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[int] = []
    original = Run.evaluate_source

    def counting(self: Run, source: Any) -> Any:
        evaluated.append(len(source))
        return original(self, source)

    monkeypatch.setattr(Run, "evaluate_source", counting)
    write_card(run, tmp_path / "card.html")
    assert evaluated == [18]


def test_many_classes_have_a_table_of_the_most_frequent_confusions(facts: CardFacts) -> None:
    classes = tuple(f"class {n:03d}" for n in range(100))
    labels = np.repeat(np.arange(100, dtype=np.int32), 3)
    logits = np.eye(100, dtype=np.float32)[np.where(labels == 7, 93, labels)]
    evaluation = assess(logits, labels, facts.run.plan)
    many = replace(facts, run=replace(facts.run, classes=classes), evaluation=evaluation)
    [confusion] = [section for section in sections(many) if section.title == "Confusion"]
    assert [type(block) for block in confusion.blocks] == [Plot, Rows]
    assert rows(many, "The classes that") == [("class 007", "class 093", "3", "100.0%")]
    assert rows(many, "Figures of each class")[7][1:5] == ("3", "0", "0", "-")
    right = assess(np.eye(100, dtype=np.float32)[labels], labels, facts.run.plan)
    [confusion] = [s for s in sections(replace(many, evaluation=right)) if s.title == "Confusion"]
    assert not any(isinstance(block, (Rows, Matrix)) for block in confusion.blocks)


def test_a_card_has_tables_without_matplotlib(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = write_card(run, tmp_path / "card.html").read_text()
    assert "image/png" not in text
    assert "image/jpeg" in text
    assert "Bins of confidence" in text


def test_images_that_changed_since_are_said_to_have(run: Run, tmp_path: Path) -> None:
    data = shutil.copytree(run.spec.dataset.path, tmp_path / "images")
    note = "another dataset was given, or images were added"
    assert note not in as_markdown(make_card(run, data=data))
    shutil.copy(data / "train" / HOSTILE[0] / "1.png", data / "val" / HOSTILE[0] / "1.png")
    assert note in as_markdown(make_card(run, data=data))


def test_duplicates_of_training_images_are_a_limitation(facts: CardFacts) -> None:
    assert facts.listed is not None
    duplicates = replace(facts, listed=replace(facts.listed, shared=2))
    text = "2 validation images have the same content as a training image"
    assert [text in str(sections(each)) for each in (facts, duplicates)] == [False, True]


def test_only_figures_of_the_chosen_epoch_are_called_optimistic(facts: CardFacts) -> None:
    other = replace(facts, run=replace(facts.run, best=facts.run.history[-1]))
    assert facts.run.best != facts.run.history[-1]
    assert ["optimistic" in str(sections(each)) for each in (facts, other)] == [True, False]


def test_a_run_without_a_list_of_images_gets_a_card(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run" / FILE).unlink()
    folder = replace(run, folder=type(run.folder)(tmp_path / "run"))
    facts = gather(folder, None)
    assert said(facts)["Provenance: Training images"].startswith("unknown: ")
    assert [row[1] for row in rows(facts, "Images by class")] == ["unknown"] * 4
    assert "Whether a validation image is also a training image is unknown." in str(sections(facts))


def test_the_spec_of_a_card_has_no_paths_and_secrets(run: Run) -> None:
    dataset = {"url": "https://me:secret@example.org/a.zip?token=1"}
    spec = run.spec.model_copy(update={"dataset": run.spec.dataset.model_copy(update=dataset)})
    text = public_spec(spec)
    assert "https://example.org/a.zip" in text
    assert not {"secret", "token"} & set(text.replace("@", ":").replace("?", ":").split(":"))
    assert "path: www.images `x`" in text
    assert str(Path(run.spec.dataset.path).parent) not in text


def test_an_author_says_what_only_they_know(run: Run, tmp_path: Path) -> None:
    about, path = tmp_path / "about.yaml", tmp_path / "card.md"
    about.write_text("license: mit\nintended_use: |\n  To tell <i>ants</i>\n  from bees.\n")
    text = write_card(run, path, about=about).read_text()
    assert text.startswith("---\nlicense: mit\n")
    assert "- **Intended use**: To tell &#60;i&#62;ants&#60;/i&#62; from bees." in text
    assert "- **This model**: mit" in text
    assert "- **Risks and biases**: unknown" in text
    for words, wrong in (
        ("purpose: x", r"about.yaml:1: purpose is not a known key\. Allowed are: license, "),
        ("license: [mit]", r"about.yaml:1: license .* an identifier of the Hugging Face Hub"),
        ("mit", r"about.yaml: should be a mapping"),
    ):
        about.write_text(words)
        with pytest.raises(SpecError, match=wrong):
            write_card(run, path, about=about)
    with pytest.raises(SpecError, match=r"model.onnx: about is for a model card"):
        isotune.export(run, tmp_path / "model.onnx", about=about, plugins=PLUGINS)
    assert path.read_text() == text


def test_export_writes_cards(run: Run, tmp_path: Path) -> None:
    for ending in ("md", "HTML"):
        exported = isotune.export(run, tmp_path / f"new/card.{ending}", plugins=PLUGINS)
        assert (exported.path, exported.report) == (tmp_path / f"new/card.{ending}", None)
        assert "61.11%" in exported.path.read_text()
    with pytest.raises(SpecError, match=r"card.md: precision, .* not for cards"):
        isotune.export(run, tmp_path / "card.md", precision="int8", plugins=PLUGINS)


def test_a_failure_leaves_the_older_card(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "card.md"
    path.write_text("older")
    with pytest.raises(DatasetError):
        write_card(run, path, data=tmp_path / "nowhere")
    assert path.read_text() == "older"
    assert write_card(run, path) == path
    assert path.read_text().startswith("---\n")
    assert [each.name for each in tmp_path.iterdir()] == ["card.md"]
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(RunError, match=r"folder.md: cannot be written: "):
        write_card(run, tmp_path / "folder.md")
    with pytest.raises(SpecError, match=r"should end in \.md or \.html"):
        write_card(run, tmp_path / "card.txt")
