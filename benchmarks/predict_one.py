"""What predicting the class of one image costs, from the start of a process to its end.

    python benchmarks/predict_one.py --home DIR

Pairs of `native/torch_predict.py`, ten lines of plain PyTorch, and `isotune predict`, with the same
MobileNetV2, trained for an epoch on ants and bees, and the same image; each side is a process of
its own. Processor time is that of all threads; other processes on the machine disturb it less than
the clock's. Beside them stands a process that does nothing except `import torch`, which none can
avoid.
Every pair is added to benchmarks/results/predict-one-torch.json and predict-one-floor-torch.json.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pairs import RESULTS, Deadline, Part, Record, forget, measure
from processes import run
from tables import part_table

HERE = Path(__file__).resolve().parent
ISOTUNE = [sys.executable, "-m", "isotune"]
STATE = """
import sys, torch, isotune
torch.save(isotune.open_run(sys.argv[1]).model.state_dict(), sys.argv[2])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    home = os.environ.get("ISOTUNE_HOME", str(Path.home() / ".cache" / "isotune"))
    parser.add_argument("--home", default=home, help="folder of datasets/ and weights/")
    parser.add_argument("--pairs", type=int, default=7, help="total number of pairs")
    parser.add_argument("--fresh", action="store_true", help="discard earlier results")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    data = Path(options.home).resolve() / "datasets" / "hymenoptera_data"
    image = str(min((data / "val").glob("*/*.jpg")))
    with TemporaryDirectory(prefix="isotune-predict-") as work:
        folder, state = f"{work}/run", f"{work}/state.pth"
        train(data, Path(options.home).resolve() / "weights", folder)
        run([sys.executable, "-c", STATE, folder, state])
        command = [*ISOTUNE, "predict", folder, image]
        run(command)  # leaves bytecode
        script = [sys.executable, str(HERE / "native" / "torch_predict.py"), state, image]
        sides = (
            pairs_of(script, "isotune", command, 0.6),
            pairs_of(script, "floor", [sys.executable, "-c", "import torch"]),
        )
        if options.fresh:
            for part in sides:
                forget(part, options.results)
        for result in measure(sides, options.pairs, Deadline(60), options.results):
            print(f"\n{result['title']}\n\n{part_table(result)}\n", flush=True)


def pairs_of(script: list[str], name: str, command: list[str], limit: float | None = None) -> Part:
    """Returns pairs of the script and another command."""
    own = name == "isotune"
    return Part(
        name="predict-one-torch" if own else f"predict-one-{name}-torch",
        title="One image predicted by a process" if own else "What only `import torch` takes of it",
        settings={"model": "mobilenet_v2", "images": 1},
        first=lambda _: figures(script),
        second=lambda _: figures(command),
        ratios={"wall": limit, "cpu": limit, "peak_mib": None},
        names=("native", name),
    )


def train(data: Path, weights: Path, folder: str) -> None:
    """Trains the head of a MobileNetV2 for an epoch."""
    changes = (
        f"dataset.path={data}",
        f"backbone.weights={weights / 'mobilenet_v2-features-imagenet.pth'}",
        "backbone.name=mobilenet_v2",
        "batch_size=32",
        "freeze=backbone",
        "epochs=1",
    )
    command = [*ISOTUNE, "run", "ants-and-bees", "--backend", "torch", "--output", folder]
    for change in changes:
        command += ["--set", change]
    run(command)


def figures(command: list[str]) -> Record:
    """Returns the figures of a process."""
    ended = run(command)
    return {"wall": ended.wall, "cpu": ended.cpu, "peak_mib": ended.peak_mib}


if __name__ == "__main__":
    main()
