"""Trains every backbone for one step, exports it, and tells how far the files are from the runs.

    python benchmarks/exports.py --work DIR [--backend torch] [--format onnx ...] [--names NAME ...]

The weights are random, scaled layer by layer as "All you need is a good init" does (Mishkin and
Matas, 2016). With plain initial values some deep networks give the same logits for all images, and
whatever is done to these would go unseen.

Each backbone runs in a new process, the smallest first. What each came to is kept in DIR, so that
the same call continues where the last one stopped. Writes benchmarks/results/exports-*.json, one
file for each backend and format, and of all of them benchmarks/results/exports.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from every_backbone import size_of
from pairs import installed_versions
from PIL import Image
from processes import UNIT
from safetensors.numpy import save_file

import isotune
from isotune.catalogue.entries import BUILT_IN
from isotune.equivalence.machine import describe_machine
from isotune.errors import IsotuneError
from isotune.interfaces.backbone import BackboneEntry
from isotune.models.initial import initial_state
from isotune.plugins import plugins
from isotune.reports.numbers import significant
from isotune.storage import home

RESULTS = Path(__file__).resolve().parent / "results"
SPLITS = {"train": 1, "val": 8}
"""Number of images of each class."""
WEIGHTS = "weights.safetensors"
SCALED = "scaled layer by layer"
"""What results say of their weights."""

Record = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="*", help="names of backbones; by default all")
    parser.add_argument("--work", type=Path, required=True, help="folder of intermediate results")
    parser.add_argument("--backend", default="torch", help="trains and writes")
    parser.add_argument("--format", nargs="*", default=["onnx"], help="the files' endings")
    parser.add_argument(
        "--data", type=Path, default=None, help="folder of images; by default hymenoptera_data"
    )
    parser.add_argument("--timeout", type=float, default=1200, help="seconds for a backbone")
    parser.add_argument("--retry", action="store_true", help="repeat those that failed")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    data = (options.data or home.datasets() / "hymenoptera_data").resolve()
    entries = [each for each in BUILT_IN if each.name in (options.names or [each.name])]
    work = options.work.resolve()
    files = {form: work / f"{options.backend}-{form}" for form in options.format}
    if options.one:
        for form, values in exported(entries[0], options.backend, options.format, data):
            (files[form] / f"{entries[0].name}.json").write_text(json.dumps(values), "utf-8")
        return
    for folder in files.values():
        folder.mkdir(parents=True, exist_ok=True)
    for entry in sorted(entries, key=lambda entry: entry.parameters or 0):
        paths = {form: folder / f"{entry.name}.json" for form, folder in files.items()}
        missing = {form: path for form, path in paths.items() if not done(path, options.retry)}
        if missing:
            command = [sys.executable, __file__, "--names", entry.name, "--work", str(work)]
            command += ["--backend", options.backend, "--data", str(data), "--one"]
            examine([*command, "--format", *missing], missing.values(), options.timeout)
            for form, path in missing.items():
                print(f"{entry.name} to {form}: {path.read_text('utf-8')}", flush=True)
                save(files[form], f"exports-{options.backend}-{form}.json")
    for form, folder in files.items():
        save(folder, f"exports-{options.backend}-{form}.json")


def done(path: Path, retry: bool) -> bool:
    """Whether a result is there, with `retry` one that is no error."""
    return path.exists() and not (retry and "error" in json.loads(path.read_text("utf-8")))


def examine(command: list[str], paths: Iterable[Path], timeout: float) -> None:
    """Runs a backbone in a new process, which writes `paths`; if it cannot, its reason is there."""
    for path in paths:
        path.unlink(missing_ok=True)
    try:
        ended = subprocess.run(command, timeout=timeout, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        reason = f"did not end within {timeout:.0f} s"
    else:
        lines = ended.stderr.strip().splitlines() or [""]
        reason = f"the process ended with {ended.returncode}: {lines[-1][:300]}"
    for path in paths:
        if not path.exists():
            path.write_text(json.dumps({"error": reason}), "utf-8")


def exported(
    entry: BackboneEntry, backend: str, formats: Iterable[str], data: Path
) -> Iterator[tuple[str, Record]]:
    """Trains a backbone for one step and exports it; yields figures or an error by format."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # so that messages have no path of this machine
        copy_images(data, Path("images"))
        write_weights(entry)
        run = isotune.run(experiment(entry), backend=backend, device="cpu", output="run")
        for form in formats:
            begin = time.perf_counter()
            try:
                result = isotune.export(run, f"{entry.name}.{form}", backend=backend)
            except IsotuneError as error:
                yield form, {"weights": SCALED, "error": str(error)}
                continue
            assert result.report is not None, "it is no card"
            seconds = time.perf_counter() - begin
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 2**20
            report = result.report.model_dump(mode="json")
            yield form, {"weights": SCALED, **report, "seconds": seconds, "peak_mib": peak}
        os.chdir(Path(folder).parent)


def copy_images(data: Path, target: Path) -> None:
    """Copies the first images of each class."""
    for split, count in SPLITS.items():
        for folder in sorted(path for path in (data / split).iterdir() if path.is_dir()):
            (target / split / folder.name).mkdir(parents=True)
            for path in sorted(folder.glob("*.jpg"))[:count]:
                shutil.copyfile(path, target / split / folder.name / path.name)


def write_weights(entry: BackboneEntry) -> None:
    """Writes weights with which every layer's output is 0 on average, with a deviation of 1.

    They are made in PyTorch, whatever trains, on the validation images.
    """
    import torch

    backend = plugins.open_backend("torch", "cpu")
    model = backend.backbones.build(entry)
    shapes = backend.state_adapter.model_shapes(model)
    backend.state_adapter.import_model(model, initial_state(shapes, 0, entry.initialization))
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0  # the statistics become those of this batch
        elif isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(_scale)
    size = size_of(entry)
    files = sorted(Path("images/val").glob("*/*"))[:: SPLITS["val"] // 2]
    pixels = np.stack([np.asarray(Image.open(path).resize((size, size))) for path in files])
    with torch.no_grad():
        model.train()(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 128 - 1)
    save_file(backend.state_adapter.export_model(model), WEIGHTS)


def _scale(layer: Any, _: Any, output: Any) -> Any:
    if output.shape[2:] == (1, 1):
        return output  # squeeze-and-excitation: images differ little, which would be amplified
    channels = (0, 2, 3) if layer.weight.ndim == 4 else tuple(range(output.ndim - 1))
    mean = 0.0 if layer.bias is None else output.mean(channels, keepdim=True)
    deviation = (output - mean).std()
    layer.weight /= deviation
    if layer.bias is not None:
        layer.bias.sub_(mean.flatten()).div_(deviation)
    return (output - mean) / deviation


def experiment(entry: BackboneEntry) -> Record:
    """Returns the spec of one training step of all layers, on one image of each class."""
    size = size_of(entry)
    return {
        "name": "exports",
        "dataset": {"path": "images"},
        "transforms": {
            "train": [{"random_resized_crop": size}],
            "val": [{"resize": size + size // 7}, {"center_crop": size}],
        },
        "batch_size": 2,
        "backbone": {"name": entry.name, "weights": WEIGHTS},
        "optimizer": {"name": "sgd", "lr": 1e-3},
        "epochs": 1,
    }


def save(work: Path, name: str) -> None:
    """Writes the results of a backend and format, and the page of all of them."""
    rows = []
    for entry in BUILT_IN:
        path = work / f"{entry.name}.json"
        if path.exists():
            known = {"name": entry.name, "family": entry.family, "parameters": entry.parameters}
            values = json.loads(path.read_text("utf-8"))
            rows.append({**known, **values, "pixels": size_of(entry)})
    machine = {"machine": describe_machine(), "packages": installed_versions()}
    text = json.dumps({**machine, "rows": rows}, indent=1)
    (RESULTS / name).write_text(text + "\n", "utf-8")
    (RESULTS / "exports.md").write_text(page(), "utf-8")


def page() -> str:
    """Returns the tables of all results as Markdown."""
    images = SPLITS["val"]
    lines = [
        "# Every backbone, exported",
        "",
        "Made by `benchmarks/exports.py`: random weights, one training step of all layers on two"
        f" images of ants and bees, then `isotune export`, compared on {2 * images} validation"
        " images. The difference is the largest of a logit; the relative one is its share of the"
        " largest logit. Milliseconds are those of the exported file for one image, seconds those"
        " of the whole export, with the comparison.",
    ]
    for path in sorted(RESULTS.glob("exports-*.json")):
        _, backend, form = path.stem.split("-")
        lines += ["", f"## {backend} to {form}", "", *table(json.loads(path.read_text("utf-8")))]
    return "\n".join(lines) + "\n"


def table(results: Record) -> list[str]:
    machine = results["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in results["packages"].items())
    names = {row["name"] for row in results["rows"]}
    plain = [row["name"] for row in results["rows"] if row.get("weights") != SCALED]
    columns = ("backbone", "family", "parameters", "pixels", "difference", "relative", "flips")
    lines = [
        f"{len(names)} of {len(BUILT_IN)} backbones, on {machine['cpus']} cores"
        f" ({machine['cpu']}, {machine['system']}; {packages})."
        + (f" With initial values instead: {', '.join(plain)}." if plain else ""),
        "",
        f"| {' | '.join(columns)} | MiB | ms | s |",
        "|---|---|" + 8 * "--:|",
    ]
    for row in sorted(results["rows"], key=lambda row: (row["family"], row["parameters"])):
        begin = f"| {row['name']} | {row['family']} | {row['parameters']:,} | {row['pixels']} |"
        lines.append(f"{begin} {outcome(row)}")
    return lines


def outcome(row: Record) -> str:
    """Returns the measured cells of a row."""
    if "error" in row:
        return f" {row['error']} | | | | | |"
    relative = row["largest_difference"] / row["largest_logit"]
    return (
        f" {significant(row['largest_difference'])} | {relative:.0e} | {len(row['flips'])}"
        f" | {row['bytes'] / 2**20:,.1f} | {row['milliseconds']:,.1f} | {row['seconds']:,.0f} |"
    )


if __name__ == "__main__":
    main()
