"""Start to first finished step with MindSpore: graphs compiled, kept, and a loop by hand.

    python benchmarks/compiled_start.py --home DIR

DIR has `datasets/hymenoptera_data`. The first side begins in an empty home and compiles; the second
finds the graphs that a run before has kept. The loop by hand knows ResNet-18 alone.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from cases import Case
from pairs import Deadline, Part, forget, measure
from tables import part_table

LIMITS = {"resnet18": 0.6, "swin_t": 0.35, "vit_b_16": 0.35}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    home = os.environ.get("ISOTUNE_HOME", str(Path.home() / ".cache" / "isotune"))
    parser.add_argument("--home", type=Path, default=home, help="folder of datasets/")
    parser.add_argument("--models", nargs="+", default=list(LIMITS), choices=list(LIMITS))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isotune-starts-") as folder:
        work = Path(folder)
        parts = [part for model in options.models for part in _parts(options, model, work)]
        for part in parts:
            forget(part)
        for result in measure(parts, options.pairs, Deadline(options.minutes)):
            print(f"\n{result['title']}\n\n{part_table(result)}\n", flush=True)


def _parts(options: argparse.Namespace, model: str, work: Path) -> list[Part]:
    data = str(options.home.resolve() / "datasets" / "hymenoptera_data")
    cold = Case(
        backend="mindspore", device="cpu", model=model, batch=options.batch, epochs=1,
        frozen=False, size=224, data=data, weights=None, workers=0, sets=(), warm=False,
    )  # fmt: skip
    warm = replace(cold, warm=True)
    # `measure` leaves the order to the pair's number; graphs must be there before the first one.
    warm.isotune(0, work, "first-step")
    what = f"{model}, batch {options.batch}, 224 px"
    second = {"settings": warm.settings(), "second": lambda s: warm.isotune(s, work, "first-step")}
    parts = [
        Part(
            name=f"5-compiled-{model}-b{options.batch}",
            title=f"start to first finished step, graphs kept: mindspore, {what}",
            first=lambda seed: cold.isotune(seed, work, "first-step"),
            ratios={"to_first_step": LIMITS[model], "cpu": None},
            names=("compiled", "kept"),
            **second,
        )
    ]
    if model == "resnet18":
        parts.append(
            Part(
                name=f"5-start-mindspore-{model}-b{options.batch}-warm",
                title=f"start to first finished step, by hand and with kept graphs: {what}",
                first=lambda seed: cold.native(seed, work, "first-step"),
                ratios={"to_first_step": 0.6, "cpu": None},
                **second,
            )
        )
    return parts


if __name__ == "__main__":
    main()
