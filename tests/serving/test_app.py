"""What clients get: answers, and one sentence for whatever is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from clients import Client, posted
from isotune.experiment.result import Run
from isotune.serving.schemas import EXAMPLE

Clients = Callable[..., Client]


def test_images_are_answered_in_their_order(
    client: Clients, run: Run, photographs: list[bytes]
) -> None:
    response = client().post(*photographs, data={"top": "2"})
    assert response.status_code == 200
    results = response.json()["results"]
    assert [each["name"] for each in results] == [f"{n}.png" for n in range(len(photographs))]
    for result, image in zip(results, photographs, strict=True):
        expected = run.predict(image, top=2)
        assert [each["class"] for each in result["predictions"]] == [name for name, _ in expected]
        shares = [each["probability"] for each in result["predictions"]]
        assert shares == pytest.approx([share for _, share in expected], abs=1e-6)


def test_a_broken_image_among_others_has_its_own_error(
    client: Clients, photographs: list[bytes]
) -> None:
    response = client().post(photographs[0], b"broken", photographs[1])
    assert response.status_code == 200
    first, broken, last = response.json()["results"]
    assert first.keys() == last.keys() == {"name", "predictions"}
    assert broken == {
        "name": "1.png",
        "error": "1.png: cannot be read as an image: it is not an image of any known format.",
    }


def file(name: str, content: bytes = b"x") -> dict[str, Any]:
    return {"files": [("images", (name, content))]}


@pytest.mark.parametrize(
    ("request_", "status", "sentence"),
    [
        (posted(b"broken"), 422, "0.png: cannot be read as an image: it is not an image of any"),
        (posted(b"", b"GIF89a"), 422, "0.png: cannot be read as an image: it is empty. Nor can"),
        (posted(b"x", data={"top": "0"}), 422, "top: is '0', but should be a whole number from 1"),
        (posted(b"x", data={"top": "1e9"}), 422, "top: is '1e9', but should be a whole number"),
        (posted(b"x", data={"top": "1" * 11}), 413, "top: has more than 10 bytes, the most"),
        (posted(b"x", data={"up": "1"}), 422, "the form has a field 'up'; its fields are"),
        (posted(*[b"x"] * 3), 413, "the request has more than 2 images, the most that this"),
        (posted(b"x" * 1001), 413, "0.png: has more than 1,000 bytes, the most that this"),
        (posted(*[b"x" * 900] * 2), 413, "the request has more than 1,500 bytes, the most"),
        (("POST", "/predict", {"files": {}}), 415, "the request is no form; send the images as"),
        (("POST", "/predict", {"json": {}}), 415, "the request is no form; send the images as"),
        (("GET", "/predict", {}), 405, "/predict takes no GET; /docs describes what it takes."),
        (("GET", "/no%1b[31m", {}), 404, "there is no such page; /docs describes what there is."),
        (("POST", "/predict", file("../a\x1b/b\u202e.png")), 422, "b\\u202e.png: cannot be read"),
        (("POST", "/predict", file("C:\\me\\bee.png")), 422, "bee.png: cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    request_: tuple[str, str, dict[str, Any]], status: int, sentence: str, client: Clients
) -> None:
    [response] = client(images=2, file_bytes=1000, request_bytes=1500).ask(request_)
    assert response.status_code == status
    assert response.json().keys() == {"detail"}
    assert response.json()["detail"].startswith(sentence)


def test_the_number_of_requests_at_a_time_is_bounded(
    client: Clients, photographs: list[bytes]
) -> None:
    responses = client(waiting=4).ask(*[posted(photographs[0])] * 10)
    statuses = [response.status_code for response in responses]
    assert statuses.count(200) == 4
    refused = [response for response in responses if response.status_code == 503]
    assert len(refused) == 6
    for response in refused:
        assert response.headers["retry-after"] == "1"
        assert response.json() == {"detail": "4 requests wait already; try again in a moment."}


def test_the_bytes_of_all_requests_are_bounded(client: Clients, photographs: list[bytes]) -> None:
    size = len(photographs[0]) + 500
    tight = client(held_bytes=3 * size)
    responses = tight.ask(*[posted(photographs[0])] * 10)
    assert {response.status_code for response in responses} == {200, 503}
    assert {response.status_code for response in tight.ask(posted(photographs[0]))} == {200}


def test_the_endpoints_are_documented(client: Clients) -> None:
    everyone = client()
    described = everyone.get("/openapi.json").json()
    assert set(described["paths"]) == {"/predict", "/health"}
    predict = described["paths"]["/predict"]["post"]
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"images", "top"}
    statuses = ["200", "400", "401", "403", "408", "413", "415", "421", "422", "500", "503"]
    assert sorted(predict["responses"]) == statuses
    for status in statuses[1:]:
        schema = predict["responses"][status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Problem"}
    page = everyone.get("/docs")
    assert page.status_code == 200
    for part in (
        "POST /predict",
        "GET /health",
        "curl -F images=",
        "&quot;probability&quot;: 0.987",
    ):
        assert part in page.text
    assert "://" not in page.text.replace(EXAMPLE, ""), "it loads nothing"


def test_names_in_the_documentation_are_escaped(client: Clients, run: Run) -> None:
    named = replace(run, classes=("<script>", *run.classes[1:]))
    page = client(named).get("/docs").text
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
