"""What people do with the page, in a browser. Every visit ends without errors in the console and
without a request to another host (``visit`` checks both)."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser.conftest import NARROW, WIDE
from isotune.experiment.result import Run
from isotune.reports.numbers import percent

TRANSFER = """([type, content]) => {
  const bytes = Uint8Array.from(atob(content), character => character.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], 'sent.png', {type: 'image/png'}));
  const event = type === 'paste'
    ? new ClipboardEvent(type, {clipboardData: data, bubbles: true, cancelable: true})
    : new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true});
  document.body.dispatchEvent(event);
}"""
"""Pastes or drops an image on the page, outside the field."""

BOMB = (30000, 30000)


def is_answer_of(run: Run, image: Any, answer: list[tuple[str, float, str]]) -> None:
    predicted = run.predict(image)
    assert [name for name, _, _ in answer] == [name for name, _ in predicted]
    for (_, value, shown), (_, probability) in zip(answer, predicted, strict=True):
        assert value == pytest.approx(probability, abs=1e-6)
        assert shown == percent(probability)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_upload_is_answered_as_the_run_predicts(
    visit: Any, run: Run, photographs: list[Path], size: tuple[int, int], scheme: str
) -> None:
    page = visit(size=size, color_scheme=scheme)
    page.upload(photographs[0])
    is_answer_of(run, photographs[0], page.answer())
    widths = page.tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    background = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 300) == (scheme == "dark")


def test_the_next_upload_replaces_the_answer(visit: Any, run: Run, photographs: list[Path]) -> None:
    page = visit()
    for file in (photographs[0], photographs[-1]):
        page.upload(file)
        best, probability = run.predict(file)[0]
        page.tab.locator("#answer .best", has_text=f"{best} {percent(probability)}").wait_for()
    page.tab.get_by_label("Remove Image").click()
    page.tab.locator("#answer .hint").wait_for()


def test_an_answer_is_explained(visit: Any, run: Run, photographs: list[Path]) -> None:
    page = visit()
    page.upload(photographs[0])
    page.tab.get_by_role("figure").nth(1).wait_for()
    saw, why = page.tab.get_by_role("figure").all_inner_texts()
    explanation = run.explain(photographs[0])
    assert (saw, why) == (
        "what it saw",
        f"Grad-CAM at {explanation.stage}: bright parts speak for {explanation.explained}",
    )
    shown = page.tab.locator("figure img").nth(1).get_attribute("src")
    with Image.open(BytesIO(b64decode(shown.partition(",")[2]))) as image:
        assert np.array_equal(image, explanation.overlay())


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_an_image_may_be_pasted_and_dropped_anywhere(
    visit: Any, run: Run, photographs: list[Path], way: str
) -> None:
    page = visit()
    page.tab.evaluate(TRANSFER, [way, b64encode(photographs[5].read_bytes()).decode()])
    is_answer_of(run, photographs[5], page.answer())


def test_a_photograph_is_taken(visit: Any, run: Run) -> None:
    page = visit()
    page.tab.get_by_label("Capture from camera").click()
    page.tab.get_by_text("Click to Access Webcam").click()
    page.tab.wait_for_function("document.querySelector('#image video')?.videoWidth > 0")
    page.tab.get_by_label("capture photo").click()
    assert {name for name, _, _ in page.answer()} == set(run.classes)


def test_an_example_is_answered(visit: Any, run: Run, photographs: list[Path]) -> None:
    page = visit()
    buttons = page.tab.get_by_role("navigation", name="Examples").get_by_role("button")
    assert buttons.all_inner_texts() == ["ants"] * 3 + ["bees"] * 2 + ["cats"] * 3
    buttons.nth(7).focus()
    page.tab.keyboard.press("Enter")
    is_answer_of(run, photographs[11], page.answer())


def hostile_files(folder: Path) -> dict[str, str]:
    """Writes files that no image should be; returns the sentences about them."""
    script = "<script>alert(1)</script>"
    (folder / "text.jpg").write_text(f"no image {script}")
    (folder / "drawing.svg").write_text(
        f"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(2)'>{script}</svg>"
    )
    content = bytearray((folder / "large.png").read_bytes())
    (folder / "broken.png").write_bytes(content[: len(content) // 2])
    Image.new("L", BOMB).save(folder / "bomb.png")
    none = "cannot be read as an image: it is not an image of any known format."
    return {
        "text.jpg": none,
        "drawing.svg": none,
        "broken.png": "cannot be read as an image: ",
        "bomb.png": "pixels",
        "large.png": "has more than 1,000 bytes, the most that this service takes.",
    }


def test_a_hostile_file_gets_its_sentence(
    visit: Any, serve: Any, photographs: list[Path], tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    page = visit(serve(file_bytes=1_000_000))
    small = visit(serve(file_bytes=1000))
    for name, sentence in hostile_files(tmp_path).items():
        asked = small if name == "large.png" else page
        asked.upload(tmp_path / name)
        found = asked.tab.locator("#answer [role=alert]", has_text=name)
        assert sentence in found.inner_text()
        asked.tab.get_by_label("Drop an image file here to upload").wait_for()
    page.upload(photographs[0])  # it still works
    assert page.answer()


def test_a_class_name_is_no_markup(
    visit: Any, serve: Any, run: Run, photographs: list[Path]
) -> None:
    name = "<img src=x onerror=alert(1)><b>${alert(2)}{{value}}`"
    page = visit(serve(replace(run, classes=(name, *run.classes[1:]))))
    page.upload(photographs[0])
    assert name in [each for each, _, _ in page.answer()]
    assert page.tab.locator("#model .classes li").first.inner_text() == name
    assert page.tab.locator("b").count() == 0


ATTACK = """async () => {
  const violated = [];
  document.addEventListener('securitypolicyviolation', event => violated.push(event.blockedURI));
  const element = document.createElement('div');
  element.innerHTML = '<img src="data:," onerror="window.executed = true">';
  document.body.append(element);
  const other = await fetch('http://127.0.0.2:9/').then(() => 'reached', error => error.name);
  while (violated.length < 2) await new Promise(resolve => setTimeout(resolve, 10));
  return [Boolean(window.executed), other, violated.sort()];
}"""


def test_other_scripts_and_hosts_are_out_of_reach(visit: Any) -> None:
    """The policy holds whatever a script in the page tries."""
    page = visit(watched=False)
    assert page.tab.evaluate(ATTACK) == [False, "TypeError", ["http://127.0.0.2:9/", "inline"]]


def test_a_token_is_asked_for(visit: Any, serve: Any, photographs: list[Path]) -> None:
    token = "0123456789abcdef"
    url = serve(token=token)
    page = visit(url, http_credentials={"username": "", "password": token})
    page.upload(photographs[0])
    assert page.answer()
    stranger = visit(watched=False)
    answer = stranger.tab.request.get(url)
    assert (answer.status, "needs the service's token" in answer.text()) == (401, True)


def test_a_visitor_is_told_when_the_service_is_busy(
    visit: Any, serve: Any, photographs: list[Path]
) -> None:
    page = visit(serve(waiting=0))
    page.upload(photographs[0])
    assert page.problem() == "0 requests wait already; try again in a moment."


def test_the_documentation_is_a_click_away(visit: Any) -> None:
    page = visit()
    page.tab.get_by_role("link", name="POST /predict").click()
    page.tab.get_by_role("heading", name="POST /predict").wait_for()


def test_a_screen_reader_finds_its_way(visit: Any, photographs: list[Path]) -> None:
    page = visit()
    page.upload(photographs[0])
    page.answer()
    assert page.tab.get_by_role("heading", level=1).inner_text() == "tiny"
    assert page.tab.locator("img:not([alt])").count() == 0
    assert page.tab.locator("#answer[aria-live], #answer [aria-live]").count()
    nameless = page.tab.evaluate(
        """() => [...document.querySelectorAll('button')].filter(
          e => e.checkVisibility() && !(e.innerText.trim() || e.ariaLabel || e.title)).length"""
    )
    assert nameless == 0
