"""Writes the results page from the files in benchmarks/results/.

python benchmarks/report.py
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

from pairs import RESULTS, Record
from tables import overview, part_table

from isotune.bench.results import machine, markdown, read_results

HEADINGS = {
    "1-epoch": "Fine-tuning, decoding and validation included",
    "1-step": "The bare training step",
    "2-fresh": "Fixed features, fresh augmentation every epoch",
    "2-views": "Fixed features, one augmented view",
    "3-step": "Both backends, the same step",
    "4-many": "Very many images",
    "5-start": "Start to first finished training step",
    "6-bf16": "A GPU in bfloat16",
    "6-compile": "A GPU in bfloat16, compiled",
    "serve-torch": "A service under load, computed by torch",
    "serve-onnx": "A service under load, computed by onnxruntime",
}


OTHER_PAGES = ("traced-step-", "waiting", "folding")
"""Beginnings of names of files with pairs that other scripts make pages of."""


def main(folder: Path) -> None:
    page = folder / "README.md"
    page.write_text(render(folder), "utf-8")
    print(f"wrote {page}")


def render(folder: Path) -> str:
    """Returns the page: the targets, then what ``isotune bench`` measured."""
    paired: dict[str, dict[str, Record]] = defaultdict(dict)
    benches: list[Path] = []
    for path in sorted(folder.glob("*.json")):
        if path.stem.startswith(OTHER_PAGES):
            continue
        result = json.loads(path.read_text("utf-8"))
        if "pairs" in result:
            paired["-".join(path.stem.split("-")[:2])][path.stem] = result
        elif "format" in result:  # other scripts make pages of the others
            benches.append(path)
    parts = [
        "# Results",
        "Made by `python benchmarks/report.py` from the JSON files beside it;"
        " [how to measure](../README.md).",
    ]
    everything = [result for results in paired.values() for result in results.values()]
    if everything:
        parts += ["## Targets", _about(everything), overview(everything)]
    for target, results in paired.items():
        parts.append(f"## {HEADINGS.get(target, target)}")
        for name, result in results.items():
            parts += [f"### {result['title']}", f"[{name}.json]({name}.json)", part_table(result)]
            parts += _settings(result) + _load(result)
    for path in benches:
        parts += [f"## isotune bench: {path.stem}", markdown(read_results(path)).rstrip()]
        if path.with_suffix(".png").exists():
            parts.append(f"![training steps]({path.stem}.png)")
    return "\n\n".join(parts) + "\n"


def _about(results: list[Record]) -> str:
    machines = sorted({machine(result) for result in results})
    versions = sorted(
        {", ".join(f"{name} {v}" for name, v in r["versions"].items()) for r in results}
    )
    return (
        f"Measured on {' and '.join(machines)}, with {' and '.join(versions)}. A ratio is Isotune's"
        " figure over the hand-written loop's (or as the columns are named), the median of the"
        " pairs'; below 1 is less time or memory."
    )


def _load(result: Record) -> list[str]:
    """Returns what the last pair of services adds to the ratios, a line a side."""
    lines = []
    for name in result["names"]:
        side = result["pairs"][-1][name]
        if "resident_mib" in side:
            resident = ", ".join(f"{value:,.0f}" for value in side["resident_mib"])
            lines.append(
                f"- {name}: {resident} MiB resident before the rounds and after each;"
                f" {side['without_a_sentence']:,} errors without a sentence; answers to the same"
                f" image differ by at most {side['largest_difference']:.1g}."
            )
    return ["\n".join(lines)] if lines else []


def _settings(result: Record) -> list[str]:
    """Returns a line with the settings that the title does not include."""
    settings = result["settings"]
    others = {
        "epochs": settings.get("epochs"),
        "weights": settings.get("weights"),
        "decoding workers of the hand-written loop": settings.get("workers"),
        "set": ", ".join(settings.get("sets", [])) or None,
        "home kept between runs": settings.get("warm") or None,
    }
    line = "; ".join(f"{name}: {value}" for name, value in others.items() if value is not None)
    return [f"{line}."] if line else []


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)
