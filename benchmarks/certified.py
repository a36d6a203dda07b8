"""Certifies every recipe between torch and mindspore on this machine's CPU.

    python benchmarks/certified.py --work DIR [RECIPE ...]

Each side is recorded by `isotune certify RECIPE --on SIDE --record FILE` in a process of its own;
the traces are kept in DIR, so that the same call continues where the last one stopped. What is
found is kept in benchmarks/results/certified.json; the table of all recipes is written to
certified.md beside it, and between the markers of docs/agreement.md and README.md, where they are.

Where a recipe's images or weights are not in $ISOTUNE_HOME, others stand in for them, and the table
says so: see STAND_INS.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pairs import installed_versions

from isotune.catalogue.entries import BUILT_IN
from isotune.equivalence.certificate import Certificate
from isotune.equivalence.compare import compare
from isotune.equivalence.machine import describe_machine
from isotune.equivalence.trace_file import read_trace
from isotune.spec.load import load_spec
from isotune.storage.home import weights as weights_folder

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "docs" / "agreement.md", ROOT / "README.md")
BEGIN, END = "<!-- agreement: made by benchmarks/certified.py -->", "<!-- end of agreement -->"
SIDES = ("torch", "mindspore")
DRIFT, PREDICTIONS = 4, 64

PHOTOGRAPHS = {"dataset.path": "hymenoptera_data"}
"""Ants and bees stand in for wolves and dogs."""
STAND_INS: Mapping[str, Mapping[str, str]] = {
    "cars-and-bicycles": {"dataset.path": "car_vs_bicycle", "dataset.splits.val": "val"},
    "wolves-and-dogs": PHOTOGRAPHS,
    "wolves-and-dogs-features": PHOTOGRAPHS,
    "wolves-and-dogs-checkpoint": PHOTOGRAPHS,
}
"""Images that stand in for a recipe's own."""
RECIPES = tuple(sorted(path.stem for path in (ROOT / "src/isotune/spec/recipes").glob("*.yaml")))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=", ".join(RECIPES))
    parser.add_argument("--work", type=Path, required=True, help="folder of traces and weights")
    parser.add_argument("--drift", type=int, default=DRIFT, help="training steps after the first")
    parser.add_argument("--predictions", type=int, default=PREDICTIONS, help="validation images")
    parser.add_argument("--batch-size", type=int, help="smaller batches, for a slow machine")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    failed = []
    for recipe in options.recipes or RECIPES:
        try:
            keep(recipe, certified(recipe, options))
        except subprocess.CalledProcessError as error:
            failed.append(f"{recipe}: {error}")
    write_pages()
    if failed:
        sys.exit("\n".join(failed))


def certified(recipe: str, options: argparse.Namespace) -> dict[str, Any]:
    """Records a recipe on both sides, and returns what the certificate says."""
    changes = {**STAND_INS.get(recipe, {}), **stand_in_weights(recipe, options.work)}
    size = load_spec(recipe).batch_size
    if options.batch_size and options.batch_size < size:
        changes["batch_size"] = str(options.batch_size)
    traces = []
    for side in SIDES:
        path = options.work / f"{recipe}-{side}.trace"
        if not path.exists():
            command = [sys.executable, "-m", "isotune", "certify", recipe, "--on", f"{side}:cpu"]
            for name in ("drift", "predictions"):
                command += [f"--{name}", str(getattr(options, name))]
            for field, value in changes.items():
                command += ["--set", f"{field}={value}"]
            subprocess.run([*command, "--record", str(path)], check=True)
        traces.append(read_trace(path))
    return {"stand_ins": sorted(changes), **described(compare(*traces), traces[0].experiment)}


def stand_in_weights(recipe: str, work: Path) -> dict[str, str]:
    """Returns a file of random weights if the recipe's own are not on this machine."""
    backbone = load_spec(recipe).backbone
    if backbone.weights == "none" or (weights_folder() / str(backbone.weights)).exists():
        return {}
    path = work / f"{backbone.name}.safetensors"
    if not path.exists():
        write_weights(backbone.name, path)
    return {"backbone.weights": str(path), "backbone.url": "null"}


def write_weights(backbone: str, path: Path) -> None:
    """Writes random weights with nontrivial norms and running statistics."""
    from every_backbone import weights
    from safetensors.numpy import save_file

    from isotune.plugins import plugins

    entry = next(entry for entry in BUILT_IN if entry.name == backbone)
    backend = plugins.open_backend("torch", "cpu")
    shapes = backend.state_adapter.model_shapes(backend.backbones.build(entry))
    save_file(weights(shapes, entry), path)


def described(certificate: Certificate, experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a certificate says, as plain values."""
    step, place = certificate.steps[0], certificate.place
    worst = max(step.values, key=lambda each: each.difference / each.allowed)
    found = {
        "backbone": experiment["backbone"]["name"],
        "batch_size": experiment["batch_size"],
        "verdict": certificate.verdict,
        "place": None if place is None else f"{place.stage}/{place.name}",
        "same_batch": step.same_batch,
        "same_start": certificate.same_start,
        "losses": step.losses,
        "values": len(step.values),
        "worst": worst.key,
        "difference": worst.difference,
        "allowed": worst.allowed,
    }
    if (drift := certificate.drift) is not None and drift.between:
        themselves = [
            max((run[-1] for run in each.values()), default=0.0) for each in drift.themselves
        ]
        found |= {
            "drift_steps": len(drift.between),
            "drift": drift.between[-1],
            "drift_themselves": max(themselves),
        }
    if (seen := certificate.predictions) is not None:
        margins = [flip.margin for flip in seen.flips]
        found |= {
            "images": seen.images,
            "flips": len(seen.flips),
            "own_flips": max(seen.own_flips),
            "largest_margin": max(margins, default=0.0),
        }
    return found


def keep(recipe: str, found: Mapping[str, Any]) -> None:
    """Adds what was found of a recipe to the others."""
    path = RESULTS / "certified.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    lines = {**known, recipe: found}
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(lines[name])}" for name in sorted(lines))
    path.write_text(f"{{\n{rows}\n}}\n", "utf-8")
    print(recipe, json.dumps(found), flush=True)


def write_pages() -> None:
    """Writes the table as a page, and between the markers of others."""
    rows = json.loads((RESULTS / "certified.json").read_text("utf-8"))
    text = "\n".join(table(rows)) + "\n"
    machine = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    head = (
        "# Every recipe, certified between torch and mindspore\n\n"
        f"Made by `benchmarks/certified.py` on {machine['cpus']} cores ({machine['cpu']},"
        f" {machine['system']}; {packages}).\n\n"
    )
    (RESULTS / "certified.md").write_text(head + text, "utf-8")
    for page in PAGES:
        whole = page.read_text("utf-8")
        if BEGIN in whole and END in whole:
            before, _, rest = whole.partition(BEGIN)
            after = rest.partition(END)[2]
            page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", "utf-8")


def table(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yields the lines of the table, and what it says of stand-ins."""
    yield (
        "| recipe | backbone | batch | same batch, same start | largest difference of the first"
        " step | allowed | after steps | between both | from itself | images predicted differently"
        " | verdict |"
    )
    yield "|---|---|--:|---|---|--:|--:|--:|--:|---|---|"
    notes: dict[str, list[str]] = {}
    for recipe, row in rows.items():
        yield line(recipe, row)
        for field in row["stand_ins"]:
            notes.setdefault(field, []).append(recipe)
    yield ""
    words = {
        "dataset.path": "Other photographs stand in for those of",
        "backbone.weights": "Random weights with nontrivial statistics stand in for those of",
        "batch_size": "Batches are smaller than the recipe's in",
    }
    for field, recipes in notes.items():
        if field in words:
            yield f"{words[field]} {listed(recipes)}."
    if missing := [recipe for recipe in RECIPES if recipe not in rows]:
        yield f"Not certified yet: {listed(missing)}."


def line(recipe: str, row: Mapping[str, Any]) -> str:
    """Returns a row of the table."""
    same = [("yes" if row[key] else "**no**") for key in ("same_batch", "same_start")]
    drift = ["", "", ""]
    if "drift" in row:
        drift = [str(row["drift_steps"]), f"{row['drift']:.0e}", f"{row['drift_themselves']:.0e}"]
    flips = ""
    if "flips" in row:
        flips = f"{row['flips']} of {row['images']} (from itself: {row['own_flips']})"
    differs = f" at `{row['place']}`" if row["place"] else ""
    cells = [
        recipe,
        row["backbone"],
        str(row["batch_size"]),
        ", ".join(same),
        f"{number(row['difference'])}, `{row['worst']}`",
        number(row["allowed"]),
        *drift,
        flips,
        f"{row['verdict']}{differs}",
    ]
    return f"| {' | '.join(cells)} |"


def number(value: float) -> str:
    return f"{value:.0e}" if math.isfinite(value) else "not finite"


def listed(names: Sequence[str]) -> str:
    """Returns names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


if __name__ == "__main__":
    main()
