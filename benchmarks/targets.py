"""Measures the speed targets with paired runs of hand-written code and Isotune, in turn.

    python benchmarks/targets.py --target 1 --model resnet18 --batch 4 --backend torch --home DIR

Every pair is saved to benchmarks/results/ at once, and the same call continues where the last one
stopped, so that `--minutes` may be short. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import many_images
from cases import Case, faster_workers
from pairs import RESULTS, Deadline, Part, Record, forget, measure
from tables import part_table

STEPS = 20
"""Number of training steps in one measurement of the bare step."""


def main() -> None:
    options = arguments()
    work = Path(options.work or tempfile.mkdtemp(prefix="isotune-targets-"))
    work.mkdir(parents=True, exist_ok=True)
    selected = parts(options, work)
    if options.fresh:
        for part in selected:
            forget(part, options.results)
    for result in measure(selected, options.pairs, Deadline(options.minutes), options.results):
        print(f"\n{result['title']}\n\n{part_table(result)}\n", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=sorted(TARGETS), required=True)
    parser.add_argument("--backend", default="torch", choices=("torch", "mindspore"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", help="by default resnet18; mobilenet_v2 for target 2")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pairs", type=int, default=5, help="total number of pairs")
    parser.add_argument("--steps", type=int, default=STEPS, help="number of bare steps")
    parser.add_argument(
        "--minutes", type=float, default=60, help="time limit; starts no pair that would exceed it"
    )
    home = os.environ.get("ISOTUNE_HOME", str(Path.home() / ".cache" / "isotune"))
    parser.add_argument("--home", default=home, help="folder of datasets/ and weights/")
    parser.add_argument("--data", default="hymenoptera_data", help="in datasets/, or a folder")
    parser.add_argument(
        "--weights",
        help="a .pth in weights/, or its path; 'none' for random weights. By default"
        " mobilenet_v2-features-imagenet.pth for MobileNetV2 and none for others",
    )
    parser.add_argument(
        "--native-workers", default="0", help="workers of the hand-written loop; best: try 0 and 2"
    )
    tuned = "compare with a loop that keeps freed memory, too (targets 1, 2 and 5)"
    parser.add_argument("--tuned", action="store_true", help=tuned)
    parser.add_argument(
        "--set", "-s", action="append", default=[], dest="sets", help="a field of Isotune's spec"
    )
    parser.add_argument(
        "--warm", action="store_true", help="share a home folder between Isotune's runs"
    )
    parser.add_argument("--fresh", action="store_true", help="discard earlier results")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--work", help="a folder for intermediate files")
    parser.add_argument(
        "--many", type=int, default=100_000, help="number of images of target 4-many"
    )
    options = parser.parse_args()
    if options.device == "auto":
        parser.error("--device auto: both sides must use the same device; name it.")
    return options


def make_case(options: argparse.Namespace, work: Path, **defaults: object) -> Case:
    """Returns the experiment of the options; `defaults` are those of a target."""
    values = {
        name: value if (value := getattr(options, name, None)) is not None else default
        for name, default in {"model": "resnet18", "batch": 4, "epochs": 2, **defaults}.items()
        if name != "frozen"
    }
    home = Path(options.home).resolve()
    case = Case(
        backend=options.backend,
        frozen=bool(defaults.get("frozen")),
        size=options.size,
        data=str(home / "datasets" / options.data),
        weights=weights_file(options.weights, str(values["model"]), home),
        workers=0,
        sets=tuple(options.sets),
        warm=options.warm,
        device=options.device,
        **values,
    )
    if options.native_workers == "best":
        return replace(case, workers=stored_choice(case, work))
    return replace(case, workers=int(options.native_workers))


def stored_choice(case: Case, work: Path) -> int:
    """Returns the faster number of workers, measured once per case and then stored in `work`."""
    path = work / f"workers-{case.backend}-{case.model}-b{case.batch}-{case.frozen}"
    if not path.exists():
        short = replace(case, epochs=1)
        path.write_text(str(faster_workers(lambda n: replace(short, workers=n), work)), "utf-8")
    return int(path.read_text("utf-8"))


def weights_file(name: str | None, model: str, home: Path) -> str | None:
    if name is None:
        name = "mobilenet_v2-features-imagenet.pth" if model == "mobilenet_v2" else "none"
    return None if name == "none" else str(home / "weights" / name)


def parts(options: argparse.Namespace, work: Path) -> list[Part]:
    """Returns the comparisons of a target."""
    return TARGETS[options.target](options, work)


def _beside_both(
    options: argparse.Namespace, case: Case, compare: Callable[[Case], list[Part]]
) -> list[Part]:
    """Returns comparisons with the hand-written loop as people write it, and tuned if asked.

    Isotune's runs are shared, and the tuned loop has no limits.
    """
    plain = [replace(part, second=functools.cache(part.second)) for part in compare(case)]
    if not options.tuned:
        return plain
    tuned = [
        replace(part, second=same.second, ratios=dict.fromkeys(part.ratios), differences={})
        for part, same in zip(compare(replace(case, tuned=True)), plain, strict=True)
    ]
    return [*plain, *tuned]


def epochs(options: argparse.Namespace, work: Path) -> list[Part]:
    """Target 1: an epoch and a whole run of fine-tuning; target 4: its memory."""
    limits = {"epoch": 0.90, "training": None, "wall": None, "peak_mib": 1.15}
    what = "fine-tuning, decoding and validation included"
    return _beside_both(
        options, make_case(options, work), lambda case: [_runs("1-epoch", what, case, work, limits)]
    )


def step(options: argparse.Namespace, work: Path) -> list[Part]:
    """Target 1: the bare training step."""
    limits = {"step_ms": 1.02, "first_step": None, "peak_mib": None}
    return _beside_both(
        options,
        make_case(options, work),
        lambda case: [_bare_step("1-step", "the bare training step", case, options.steps, limits)],
    )


def _bare_step(
    name: str, what: str, case: Case, steps: int, limits: dict[str, float | None]
) -> Part:
    return Part(
        name=_name(name, case),
        title=f"{what}: {_described(case)}",
        settings={**case.settings(), "steps": steps},
        first=lambda _: case.native_step(steps),
        second=lambda _: case.isotune_step(steps),
        ratios=limits,
    )


def features(options: argparse.Namespace, work: Path) -> list[Part]:
    """Target 2: ten epochs of fixed features, with new views in each epoch and with one view.

    Both are compared with the same hand-written runs.
    """

    def compare(case: Case) -> list[Part]:
        once = replace(case, sets=("cache.views=1", *case.sets))
        native = functools.cache(lambda seed: case.native(seed, work))
        return [
            _features("2-fresh", "fresh augmentation every epoch", 0.5, case, work, native),
            _features("2-views", "one augmented view of each image", 0.12, once, work, native),
        ]

    case = make_case(options, work, model="mobilenet_v2", epochs=10, frozen=True)
    return _beside_both(options, case, compare)


def _features(
    name: str, what: str, limit: float, case: Case, work: Path, native: Callable[[int], Record]
) -> Part:
    part = _runs(
        name, f"fixed features, {what}", case, work,
        {"training": limit, "wall": limit, "peak_mib": 1.15},
    )  # fmt: skip
    return replace(part, first=native, differences={"best_val_accuracy": -0.01})


def frameworks(options: argparse.Namespace, work: Path) -> list[Part]:
    """Target 3: the training step of mindspore compared with that of torch."""
    case = make_case(options, work, model="resnet50", batch=8)
    return [
        Part(
            name=f"3-step-{case.model}-b{case.batch}",
            title=f"Isotune's training step in both backends: {case.model}, batch {case.batch}",
            settings={**case.settings(), "backend": "both", "steps": options.steps},
            first=lambda _: case.isotune_step(options.steps, "torch"),
            second=lambda _: case.isotune_step(options.steps, "mindspore"),
            ratios={"step_ms": 1.30, "first_step": None, "peak_mib": None},
            names=("torch", "mindspore"),
        )
    ]


def accelerated(options: argparse.Namespace, work: Path) -> list[Part]:
    """Target 6: the bare step on a GPU in bfloat16, without and with compilation."""
    case = replace(make_case(options, work, model="resnet50", batch=256), precision="bf16")
    compiled = replace(case, compile=True)
    what = "the bare training step in bf16, channels_last"
    metrics: dict[str, float | None] = {
        "step_ms": None,
        "images_per_second": None,
        "first_step": None,
    }
    return [
        _bare_step("6-bf16", what, case, options.steps, metrics),
        _bare_step("6-compile", f"{what}, torch.compile", compiled, options.steps, metrics),
    ]


def first_step(options: argparse.Namespace, work: Path) -> list[Part]:
    """Target 5: from the start of the process to the end of the first training step."""

    def compare(case: Case) -> list[Part]:
        return [
            Part(
                name=_name("5-start", case),
                title=f"start to first finished step: {_described(case)}",
                settings=case.settings(),
                first=lambda seed: case.native(seed, work, "first-step"),
                second=lambda seed: case.isotune(seed, work, "first-step"),
                ratios={"to_first_step": 0.65 if case.backend == "torch" else 1.15},
            )
        ]

    return _beside_both(options, make_case(options, work), compare)


def many(options: argparse.Namespace, work: Path) -> list[Part]:
    """Target 4: a dataset of very many files compared with one of a tenth of them."""
    return [many_images.part(options.backend, options.device, options.many, work, options.sets)]


def _runs(name: str, what: str, case: Case, work: Path, limits: dict[str, float | None]) -> Part:
    return Part(
        name=_name(name, case),
        title=f"{what}: {_described(case)}",
        settings=case.settings(),
        first=lambda seed: case.native(seed, work),
        second=lambda seed: case.isotune(seed, work),
        ratios=limits,
        allowances={"peak_mib": case.caches()},
    )


def _name(target: str, case: Case) -> str:
    sets = "".join(f"-{each.replace('=', '-')}" for each in case.sets)
    ends = f"{'-warm' if case.warm else ''}{'-tuned' if case.tuned else ''}"
    return f"{target}-{case.backend}-{case.model}-b{case.batch}{sets}{ends}"


def _described(case: Case) -> str:
    tuned = ", hand-written with malloc tuned" if case.tuned else ""
    return f"{case.backend}, {case.model}, batch {case.batch}, {case.size} px{tuned}"


TARGETS: dict[str, Callable[[argparse.Namespace, Path], list[Part]]] = {
    "1": lambda options, work: [*epochs(options, work), *step(options, work)],
    "1-epoch": epochs,
    "1-step": step,
    "2": features,
    "3": frameworks,
    "4-many": many,
    "5": first_step,
    "6": accelerated,
}


if __name__ == "__main__":
    main()
