"""Builds the wheel and the source distribution, and uses the wheel as a stranger would.

    make wheel                          # or: python tools/wheel.py [EXTRA]

Needs git, the package index and, meanwhile, about 6 GB below ``build/wheel``. It checks
that the wheel holds every file of the packages and nothing else, and that an index would render its
page; installs it into an empty environment, alone at first and then with an extra, by default
``torch``; and runs there, outside the checkout and without a network, what README shows first, on
images made here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "wheel"
OUTSIDE = WORK / "outside"
"""Working directory of what is tried: no module of the checkout is imported from there."""

PACKAGES = re.compile(r"(?:src|backends/[^/]+)/(isotune(?:_[a-z]+)?/.+)")
"""A tracked file of a package, and its name in the wheel."""

FIRST_SPEC = re.compile(r"```yaml\n(# ants-and-bees\.yaml\n.*?)```", re.DOTALL)
NOWHERE = "http://127.0.0.1:9"
"""A proxy where nobody listens: whatever asks for the network fails at once."""

IMAGES = """\
import sys
from pathlib import Path
import numpy as np
from PIL import Image

folder, *classes = sys.argv[1:]
random = np.random.default_rng(0)
for level, name in enumerate(classes):
    for number in range(24):
        path = Path(folder, "train" if number < 16 else "val", name, f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.normal(80 + 90 * level, 30, (96, 96, 3)).clip(0, 255)
        Image.fromarray(pixels.astype("uint8")).save(path)
"""
OPEN = """\
import sys
import isotune

folder, image = sys.argv[1:]
run = isotune.open_run(folder)
print(type(run.model).__mro__[-2].__name__, run.best.val_accuracy, run.predict(image))
"""


def main(extra: str = "torch") -> None:
    """Runs all steps; the first that fails ends the program."""
    shutil.rmtree(WORK, ignore_errors=True)
    OUTSIDE.mkdir(parents=True)
    with step("build"):
        tools = environment("tools")
        install(tools, "build", "twine")
        call(tools, "-m", "build", "--quiet", "--outdir", WORK / "dist", ROOT)
        (wheel,) = (WORK / "dist").glob("*.whl")
        check_files(wheel)
        call(tools, "-m", "twine", "check", "--strict", *(WORK / "dist").iterdir())
    with step("the wheel alone"):
        clean = environment("clean")
        install(clean, str(wheel))
        use_alone(clean.with_name("isotune"))
    with step(f"isotune[{extra}]"):
        install(clean, f"isotune[{extra}] @ {wheel.as_uri()}")
    with step("README's first examples"):
        use(clean)
    for done in (tools, clean):
        shutil.rmtree(done.parents[1])
    print(f"\n{wheel.name} works where it was installed; it is in {wheel.parent}.")


@contextmanager
def step(name: str) -> Iterator[None]:
    """Says how long a step took."""
    print(f"\n== {name}", flush=True)
    begin = time.monotonic()
    yield
    print(f"== {time.monotonic() - begin:.0f} s", flush=True)


def environment(name: str) -> Path:
    """Makes an empty environment; returns its interpreter."""
    venv.create(WORK / name, with_pip=True)
    return WORK / name / "bin" / "python"


def install(python: Path, *packages: str) -> None:
    """Installs packages into an environment, in the versions that were tested."""
    constraints = ROOT / "constraints.txt"
    call(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, *packages)


def check_files(wheel: Path) -> None:
    """Compares the wheel's files with those of the packages that git tracks."""
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    tracked = {match[1] for match in map(PACKAGES.fullmatch, listed) if match}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    missing = [f"{name} is not in it" for name in sorted(tracked - packed)]
    others = [f"{name} is in it, but not in git" for name in sorted(packed - tracked)]
    if missing or others:
        sys.exit("\n  ".join([f"{wheel}: its files are not the packages':", *missing, *others]))
    print(f"{wheel.name}: {len(packed)} files, those of the packages")


def use_alone(isotune: Path) -> None:
    """Does what needs no framework."""
    for arguments in (
        ["--version"],
        ["--help"],
        ["recipes"],
        ["schema"],
        ["backbones", "--family", "resnet"],
    ):
        call(isotune, *arguments, shown=False)


def use(python: Path) -> None:
    """Does what README shows first, with less to compute."""
    spec = FIRST_SPEC.search((ROOT / "README.md").read_text("utf-8"))
    if spec is None:
        sys.exit("README.md: has no block of YAML that begins with '# ants-and-bees.yaml'.")
    (OUTSIDE / "ants-and-bees.yaml").write_text(spec[1], "utf-8")
    call(python, "-c", IMAGES, "flowers", "daisy", "tulip")
    call(python, "-c", IMAGES, "hymenoptera_data", "ants", "bees")
    isotune = python.with_name("isotune")
    call(isotune, "backends")
    call(isotune, "fit", "flowers", "--minutes", "0.3", "--output", "fitted")
    smaller = ("--set", "backbone.weights=none", "--set", "epochs=1")
    call(isotune, "run", "ants-and-bees.yaml", *smaller, "--output", "run")
    image = "hymenoptera_data/val/bees/20.png"
    call(isotune, "predict", "run", image)
    call(python, "-c", OPEN, "run", image)


def call(command: Path, *arguments: str | Path, shown: bool = True) -> None:
    """Runs a command outside the checkout; it must succeed. Only pip and build have a network."""
    line = [str(command), *map(str, arguments)]
    title = " ".join(["$", command.name, *(each.partition("\n")[0] for each in line[1:])])
    print(title, flush=True)
    surroundings = {**os.environ, "ISOTUNE_HOME": str(WORK / "home")}
    surroundings.pop("PYTHONPATH", None)
    if arguments[:1] != ("-m",):
        proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
        surroundings |= {**dict.fromkeys(proxies, NOWHERE), "no_proxy": "", "NO_PROXY": ""}
    output = None if shown else subprocess.DEVNULL
    code = subprocess.call(line, cwd=OUTSIDE, env=surroundings, stdout=output)
    if code:
        sys.exit(f"It ended with {code}: {title}")


if __name__ == "__main__":
    main(*sys.argv[1:])
