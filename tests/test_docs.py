"""Documentation: its links lead somewhere, and its specs are specs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import TypeAdapter

from hostile.harness import all_suites
from isotune.data.transforms.pipeline import transform
from isotune.exporting.card.about import read_about
from isotune.spec.load import load_spec, read_spec
from isotune.spec.space.check import open_space
from isotune.spec.transforms import TRANSFORMS, Pipeline

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])
SMALLEST = {
    "name": "documented",
    "dataset": {"path": "images"},
    "backbone": "resnet18",
    "optimizer": "sgd",
    "batch_size": 8,
    "epochs": 20,
}
"""What the fragments of specs in the guide are added to."""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", outside_blocks(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    assert not missing


def outside_blocks(page: Path) -> str:
    """Returns a page's text without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them of their words."""
    headings = re.findall(r"^#+ (.+)$", outside_blocks(page), re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", each).lower() for each in headings]
    return {re.sub(r"[^\w -]", "", each).replace(" ", "-") for each in plain}


def test_every_yes_of_the_comparison_is_held_by_a_test() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", (ROOT / "docs/compared.md").read_text(), re.M)
    ours = {name: cell for name, cell in rows if cell.strip() != "Isotune" and name.strip("- ")}
    assert len(ours) > 20
    claimed = {name: cell for name, cell in ours.items() if "yes" in cell}
    assert not [each for each, cell in claimed.items() if "[yes](../tests/" not in cell]


def test_specs_in_the_documentation_load(tmp_path: Path) -> None:
    file, count = tmp_path / "spec.yaml", 0
    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            if block.startswith("# about.yaml"):
                file.write_text(block, "utf-8")
                assert read_about(file).intended_use
                continue
            if block.startswith("# space.yaml"):
                file.write_text(block, "utf-8")
                open_space(file, read_spec(SMALLEST))
                continue
            rest = {key: SMALLEST[key] for key in SMALLEST.keys() - yaml.safe_load(block).keys()}
            file.write_text(
                block + "".join(yaml.safe_dump({key: rest[key]}) for key in rest), "utf-8"
            )
            load_spec(file)
            count += 1
    assert count >= 7


def test_the_transform_of_the_contributors_page_is_one() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## A transform")[2]
    module = ModuleType("contributed")
    sys.modules["contributed"] = module
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], vars(module))
    TRANSFORMS.add(module.RandomInvertSpec)
    try:
        pipeline = TypeAdapter(Pipeline).validate_python([{"random_invert": 1}, "random_invert"])
    finally:
        TRANSFORMS.remove(module.RandomInvertSpec)
        del sys.modules["contributed"]
    assert pipeline[1].p == 0.5
    image = transform(Image.new("RGB", (2, 2), (0, 1, 200)), pipeline[:1], np.random.default_rng(0))
    assert image.getpixel((1, 1)) == (255, 254, 55)


def test_the_suites_of_hostile_inputs_are_those_of_the_security_page() -> None:
    rows = re.findall(
        r"^\| `([\w-]+)` \| ([\d,]+) \|", (ROOT / "SECURITY.md").read_text("utf-8"), re.M
    )
    suites = {suite.name: f"{suite.cases:,}" for suite in all_suites().values()}
    assert rows
    assert dict(rows).items() <= suites.items()
