"""Judges all mutants that were recorded, and writes what was found as a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import EXPERIMENTS
from kept import clean_pairs, judged
from mutant import Mutant, read_list

from isotune.reports.tables import Table

RESULTS = Path(__file__).resolve().parents[1] / "results"
REASONS = Path(__file__).with_name("misses.json")
"""Why a mutant is missed, by its number, written by a person."""

Row = tuple[Mutant, dict[str, Any]]


def write_page(work: Path) -> None:
    """Writes ``mutants.json`` and ``mutants.md`` into benchmarks/results.

    What is not in `work` stays as it was found before.
    """
    known, clean = earlier()
    rows: list[Row] = []
    for mutant in read_list():
        found = judged(mutant, work / mutant.experiment) or known.get(mutant.number)
        if found is not None:
            rows.append((mutant, found))
    clean |= clean_pairs(list(EXPERIMENTS), work)
    clean = {name: clean[name] for name in EXPERIMENTS if name in clean}
    reasons = json.loads(REASONS.read_text("utf-8")) if REASONS.exists() else {}
    lines = ",\n".join(json.dumps({"mutant": each.number, **found}) for each, found in rows)
    pairs = ",\n".join(f"{json.dumps(name)}: {json.dumps(each)}" for name, each in clean.items())
    text = f'{{"mutants": [\n{lines}\n],\n"clean": {{\n{pairs}\n}}}}\n'
    (RESULTS / "mutants.json").write_text(text, "utf-8")
    (RESULTS / "mutants.md").write_text(page(rows, clean, reasons), "utf-8")
    for mutant, found in rows:
        if not found["found"]:
            print(mutant.number, mutant.experiment, mutant.side, mutant.change, mutant.path, found)
    for name, each in clean.items():
        if each["verdict"] == "differs":
            print("clean", name, each)
    print(summary(rows))


def earlier() -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    """Returns what the results hold of mutants, by number, and of pairs without a change."""
    path = RESULTS / "mutants.json"
    if not path.exists():
        return {}, {}
    results = json.loads(path.read_text("utf-8"))
    rows = {each.pop("mutant"): each for each in results["mutants"]}
    return rows, results["clean"]


def summary(rows: Sequence[Row]) -> str:
    """Returns the sentence that counts."""
    right = sum(found["found"] for _, found in rows)
    alarms = sum(found.get("verdict") == "differs" for _, found in rows)
    sides = Counter(mutant.side for mutant, _ in rows)
    networks = {EXPERIMENTS[mutant.experiment].backbone for mutant, _ in rows}
    alone_right = sum(found["found"] and found.get("alone", False) for _, found in rows)
    causes = sum(bool(found.get("cause")) for _, found in rows)
    return (
        f"Of {len(rows)} mutants, {sides['torch']} of torch and {sides['mindspore']} of MindSpore,"
        f" over {len(networks)} networks, {alarms} differ from a clean side, **{right} at the"
        f" right place**: {right - alone_right} from two traces alone, and {alone_right} once every"
        f" layer also ran alone. {causes} certificates name a likely cause."
    )


def page(rows: Sequence[Row], clean: dict[str, Any], reasons: dict[str, str]) -> str:
    """Returns the table as Markdown."""
    quiet = sum(each["verdict"] != "differs" for each in clean.values())
    lines = [
        "# Mutants: does a certificate find the place?",
        "",
        "Made by `benchmarks/mutants`: changes drawn by a seed"
        " ([the list](../mutants/mutants.json)), each of one layer, block, step or batch of one"
        " backend, against the other backend as it is. Networks have random weights with nontrivial"
        " statistics, batches have 4 or 8 small images. MindSpore's steps are not compiled. Found"
        " is a mutant whose certificate says `differs` and names the changed layer or block or, for"
        " what is no layer's, the stage.",
        "",
        summary(rows),
        "",
        f"Without any change, {quiet} of the {len(clean)} pairs raise no alarm.",
        "",
        table(rows).markdown(),
    ]
    if left := len(read_list()) - len(rows):
        lines += ["", f"{left} mutants of the list were not recorded."]
    missed = [mutant for mutant, found in rows if not found["found"]]
    if missed:
        lines += ["", "## Missed", ""]
        for mutant in missed:
            reason = reasons.get(str(mutant.number), "not explained yet.")
            lines.append(f"- {mutant.number}, {mutant.experiment}, {mutant.what}: {reason}")
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Row]) -> Table:
    """Returns the table of all mutants."""
    columns = ("", "network", "changed side", "change", "layer", "found", "stage", "place")
    made = Table((*columns, "likely cause"), ["right", *["left"] * 8])
    for mutant, found in rows:
        place = found.get("place") or {}
        layer = " and ".join(f"`{each}`" for each in (mutant.path, mutant.partner) if each)
        at = place.get("name") or ""
        if place.get("path") and place["path"] != at:
            at = f"{at} (of {place['path']})" if at else place["path"]
        made.add(
            *(mutant.number, mutant.experiment, mutant.side, mutant.what, layer),
            "yes" if found["found"] else "**no**",
            place.get("stage", found.get("error", found.get("verdict", ""))),
            at,
            found.get("cause") or "",
        )
    return made
