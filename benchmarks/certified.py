"""Certifies every recipe between torch and mindspore on this machine's CPU.

    python benchmarks/certified.py --work DIR [RECIPE ...]

Each side is recorded by `isotune certify RECIPE --on SIDE --record FILE` in a process of its own;
the traces are kept in DIR, so that the same call continues where the last one stopped. What is
found is kept in benchmarks/results/certified.json; the table of all recipes is written to
certified.md beside it and between the markers of docs/agreement.md, and in short of README.md.

Where a recipe's images or weights are not in $ISOTUNE_HOME, others stand in for them, and the table
says so: see STAND_INS.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pairs import installed_versions

from isotune.catalogue.entries import BUILT_IN
from isotune.equivalence.certificates.certificate import Certificate
from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.machine import describe_machine
from isotune.equivalence.traces.file import read_trace
from isotune.reports.tables import Table
from isotune.spec.load import load_spec
from isotune.storage.home import weights as weights_folder

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
GUIDE, README = ROOT / "docs" / "agreement.md", ROOT / "README.md"
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
    machine = describe_machine()
    packages = ", ".join(f"{name} {number}" for name, number in installed_versions().items())
    head = (
        "# Every recipe, certified between torch and mindspore\n\n"
        f"Made by `benchmarks/certified.py` on {machine['cpus']} cores ({machine['cpu']},"
        f" {machine['system']}; {packages}).\n\n"
    )
    whole = f"{table(rows, COLUMNS)}\n\n{notes(rows)}\n"
    (RESULTS / "certified.md").write_text(head + whole, "utf-8")
    for page, text in ((GUIDE, whole), (README, f"{table(rows, SHORT)}\n")):
        before, _, rest = page.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", "utf-8")


def cells(recipe: str, row: Mapping[str, Any]) -> dict[str, str]:
    """Returns a row of the table, by its columns."""
    same = [("yes" if row[key] else "**no**") for key in ("same_batch", "same_start")]
    drift = "drift" in row
    flips = f"{row['flips']} of {row['images']}" if "flips" in row else ""
    differs = f" at `{row['place']}`" if row["place"] else ""
    return {
        "recipe": recipe,
        "backbone": row["backbone"],
        "batch": str(row["batch_size"]),
        "same batch, same start": ", ".join(same),
        "values": str(row["values"]),
        "largest difference of the first step": f"{number(row['difference'])}, `{row['worst']}`",
        "allowed": number(row["allowed"]),
        "after steps": str(row["drift_steps"]) if drift else "",
        "between both": number(row["drift"]) if drift else "",
        "from itself": number(row["drift_themselves"]) if drift else "",
        "predicted differently": flips,
        "from itself, too": str(row["own_flips"]) if flips else "",
        "verdict": f"{row['verdict']}{differs}",
    }


NUMBERS = ("batch", "values", "allowed", "after steps", "between both", "from itself")
COLUMNS = (
    *("recipe", "backbone", "batch", "same batch, same start", "values"),
    *("largest difference of the first step", "allowed", "after steps", "between both"),
    *("from itself", "predicted differently", "from itself, too", "verdict"),
)
SHORT = (
    *("recipe", "backbone", "values", "largest difference of the first step", "allowed"),
    *("predicted differently", "verdict"),
)


def table(rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Returns the table of all recipes."""
    made = Table(columns, ["right" if name in NUMBERS else "left" for name in columns])
    for recipe, row in rows.items():
        found = cells(recipe, row)
        made.add(*(found[name] for name in columns))
    return made.markdown()


def notes(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns what the table says of stand-ins."""
    fields: dict[str, list[str]] = {}
    for recipe, row in rows.items():
        for field in row["stand_ins"]:
            fields.setdefault(field, []).append(recipe)
    words = {
        "dataset.path": "Other photographs stand in for those of",
        "backbone.weights": "Random weights with nontrivial statistics stand in for those of",
        "batch_size": "Batches are smaller than the recipe's in",
    }
    found = [f"{words[field]} {listed(each)}." for field, each in fields.items() if field in words]
    if missing := [recipe for recipe in RECIPES if recipe not in rows]:
        found.append(f"Not certified yet: {listed(missing)}.")
    return "\n".join(found)


def number(value: float) -> str:
    return f"{value:.0e}" if math.isfinite(value) else "not finite"


def listed(names: Sequence[str]) -> str:
    """Returns names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


if __name__ == "__main__":
    main()
