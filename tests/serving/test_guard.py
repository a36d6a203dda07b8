"""Who may call, from where, and how long a body may take."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from clients import Client, posted
from isotune.errors import RunError
from isotune.serving.app import create_app
from isotune.serving.guard import SECURITY_HEADERS

Clients = Callable[..., Client]
TOKEN = "0123456789abcdef"


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:1", "10.0.0.7", "Box:8000"])
def test_addresses_and_own_names_are_hosts(host: str, client: Clients) -> None:
    assert client(hosts=["box"]).get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.com", "127.0.0.1.evil.com", "localhost.evil.com:8000", "", "[", "a@b", "localhost."],
)
def test_other_hosts_are_refused(host: str, client: Clients) -> None:
    response = client(hosts=["box"]).get("/health", headers={"host": host})
    assert response.status_code == 421
    assert response.json()["detail"].startswith("this service is not called '")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.com"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8000"},
    ],
)
def test_pages_of_other_sites_are_refused(
    headers: dict[str, str], client: Clients, photographs: list[bytes]
) -> None:
    response = client().post(photographs[0], headers=headers)
    assert response.status_code == 403
    assert response.json() == {"detail": "the request comes from a page of another site."}


def test_the_own_page_is_not_another_site(client: Clients, photographs: list[bytes]) -> None:
    headers = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    response = client().post(photographs[0], headers=headers)
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("access-control")]
    preflight = {"origin": "http://127.0.0.1:8000", "access-control-request-method": "POST"}
    response = client().ask(("OPTIONS", "/predict", {"headers": preflight}))[0]
    assert response.status_code == 405


@pytest.mark.parametrize("path", ["/predict", "/openapi.json", "/docs", "/nowhere", "/"])
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Token {TOKEN}",
        "Basic !",
        basic(""),
    ],
)
def test_without_the_token_nothing_is_answered(
    path: str, authorization: str | None, client: Clients
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    response = client(token=TOKEN).get(path, headers=headers)
    assert response.status_code == 401
    assert response.json()["detail"].startswith("the request needs the service's token: ")
    challenges = response.headers.get_list("www-authenticate")
    assert [each.split()[0] for each in challenges] == ["Bearer", "Basic"]


def test_with_the_token_all_is_answered_and_health_without_it(
    client: Clients, photographs: list[bytes]
) -> None:
    guarded = client(token=TOKEN)
    for authorization in (f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic(TOKEN)):
        headers = {"authorization": authorization}
        assert guarded.post(photographs[0], headers=headers).status_code == 200
    assert guarded.get("/health").json() == {"status": "ok"}


def test_every_answer_has_the_security_headers(client: Clients) -> None:
    everyone = client()
    for response in (everyone.get("/health"), everyone.get("/no"), everyone.post(b"broken")):
        assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert "server" not in response.headers


@pytest.mark.parametrize(
    ("limits", "pause"), [({"idle_seconds": 0.05}, 5), ({"body_seconds": 0.05}, 0.01)]
)
def test_a_body_that_comes_too_slowly_is_refused(
    limits: dict[str, float], pause: float, client: Clients
) -> None:
    slow = client(**limits)

    async def drip() -> AsyncIterator[dict[str, Any]]:
        while True:
            yield {"type": "http.request", "body": b"", "more_body": True}
            await asyncio.sleep(pause)

    messages = asyncio.run(answered(slow, drip()))
    assert messages[0]["status"] == 408
    assert b"the body of the request came too slowly." in messages[1]["body"]


async def answered(client: Client, body: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns what the application sends in answer to a body that comes in these messages."""
    headers = {
        b"host": b"localhost",
        b"content-type": b"multipart/form-data; boundary=b",
        b"transfer-encoding": b"chunked",
        b"expect": b"100-continue",
    }
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "query_string": b"",
        "headers": list(headers.items()),
    }
    messages = []

    async def send(message: Any) -> None:
        messages.append(message)

    await create_app(client.service, **client.settings)(scope, body.__anext__, send)
    return messages


def test_a_fault_of_the_application_is_one_sentence(
    client: Clients, photographs: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            if name == "input_spec":
                raise ZeroDivisionError("/home/me/secret")
            return getattr(working.service.classifier, name)

    working = client()
    response = client(Broken()).ask(posted(photographs[0]))[0]
    assert response.status_code == 500
    assert response.json() == {"detail": "the service failed at this request; its log says why."}
    assert "ZeroDivisionError: /home/me/secret" in caplog.text


def test_a_model_that_is_not_finite_is_one_sentence(
    client: Clients, photographs: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    class NotFinite:
        def __getattr__(self, name: str) -> Any:
            if name == "logits_by_batch":
                raise RunError("/home/me/run: the model's outputs are not finite: because.")
            return getattr(working.service.classifier, name)

    working = client()
    response = client(NotFinite()).ask(posted(photographs[0]))[0]
    assert response.status_code == 500
    assert response.json() == {"detail": "the model failed at these images; its log says why."}
    assert "/home/me/run: the model's outputs are not finite: because." in caplog.text
