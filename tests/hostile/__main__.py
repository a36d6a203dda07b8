"""Feeds hostile inputs to Isotune: nothing may crash, hang, escape, or take memory without bound.

    python tests/hostile                       # every suite, all cases
    python tests/hostile specs images          # two suites
    python tests/hostile specs --case 17       # one case, as it was in the suite

Each suite runs in a process of its own, whose memory is capped.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # pytest's paths
sys.path.append(str(Path(__file__).resolve().parents[2] / "examples" / "numpy_backend"))

from hostile.harness import all_suites, run_suite


def run_one(name: str, options: argparse.Namespace) -> bool:
    """Runs a suite in this process, prints one line and the faults; returns whether it is whole."""
    resource.setrlimit(resource.RLIMIT_AS, (options.memory << 20,) * 2)
    suite, start = all_suites()[name], time.monotonic()
    count = suite.cases if options.cases is None else options.cases
    cases = range(count) if options.case is None else range(options.case, options.case + 1)
    outcome = run_suite(suite, options.seed, cases)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name}: {len(cases)} cases, {outcome.counts['accepted']} accepted,"
        f" {outcome.counts['refused']} refused, {len(outcome.faults)} faults;"
        f" {time.monotonic() - start:.0f} s, {peak:.0f} MB"
    )
    for number, fault in outcome.faults.items():
        print(f"  case {number}:\n    " + fault.rstrip().replace("\n", "\n    "))
    return not outcome.faults


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(all_suites()))
    parser.add_argument("--cases", type=int, help="number of cases of each suite")
    parser.add_argument("--case", type=int, help="only this case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, default=4096, help="cap of a process, in MiB")
    parser.add_argument("--here", action="store_true", help="in this process, for a debugger")
    options = parser.parse_args()
    names = options.suites or list(all_suites())
    if unknown := [name for name in names if name not in all_suites()]:
        parser.error(f"no suite {', '.join(unknown)}; there are {', '.join(all_suites())}")
    if options.here:
        return int(not all([run_one(name, options) for name in names]))  # noqa: C419 - runs all
    flags = [
        f"--{flag}={value}"
        for flag in ("cases", "case", "seed", "memory")
        if (value := getattr(options, flag)) is not None
    ]
    codes = [
        subprocess.run([sys.executable, __file__, name, "--here", *flags]).returncode
        for name in names
    ]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
