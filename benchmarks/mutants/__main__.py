"""Changes one thing in one backend, and looks whether a certificate finds the place.

    python benchmarks/mutants draw --seed 19            # writes mutants.json beside this file
    python benchmarks/mutants run --work DIR [NAME ...]  # mutants of these experiments, or of all
    python benchmarks/mutants run --work DIR NAME --alone 7 8   # again, every layer also alone
    python benchmarks/mutants page --work DIR           # writes benchmarks/results/mutants.*

What is found is saved in DIR, so that the same call continues where the last one stopped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # every_backbone.py
os.environ.setdefault("GLOG_v", "3")

from experiments import EXPERIMENTS


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw", help="draw the list of mutants")
    drawing.add_argument("--seed", type=int, default=19)
    running = commands.add_parser("run", help="record and compare mutants")
    running.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    paging = commands.add_parser("page", help="write the table")
    for each in (running, paging):
        each.add_argument("--work", type=Path, required=True, help="folder of results")
    running.add_argument(
        "--alone",
        nargs="+",
        type=int,
        default=[],
        metavar="NUMBER",
        help="mutants whose layers run alone, too; 0 is the pair without a change",
    )
    running.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(getattr(options, "names", ())) - EXPERIMENTS.keys():
        parser.error(f"no experiment {', '.join(sorted(unknown))}")
    if options.command == "draw":
        from draw import draw
        from mutant import write_list

        write_list(draw(options.seed))
    elif options.command == "page":
        from page import write_page

        write_page(options.work)
    elif options.here:
        from study import study

        for name in options.names:
            study(name, options.work, options.alone)
    else:
        run_all(options.names or list(EXPERIMENTS), options.work, options.alone)


def run_all(names: list[str], work: Path, alone: list[int]) -> None:
    """Studies each experiment in a process of its own, so that memory is given back."""
    for name in names:
        command = [sys.executable, str(Path(__file__).parent), "run", name, "--here"]
        command += ["--alone", *map(str, alone)] if alone else []
        ended = subprocess.run([*command, "--work", str(work)], check=False)
        if ended.returncode:
            print(f"{name}: ended with {ended.returncode}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
