import asyncio
import json
from uuid import UUID

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application

pytestmark = pytest.mark.urls("marketplace.kernel.tests.site")


def test_a_sane_request_id_is_kept(client):
    response = client.get("/pages/hello", headers={"X-Request-ID": "from-the-proxy.7"})

    assert response["X-Request-ID"] == "from-the-proxy.7"
    assert response.content == b"from-the-proxy.7"


@pytest.mark.parametrize("inbound", ["", "with space", "a" * 129, "line\nbreak", "<script>", "é"])
def test_another_one_is_replaced(client, inbound):
    response = client.get("/pages/hello", headers={"X-Request-ID": inbound})

    assert response["X-Request-ID"] != inbound
    assert UUID(response["X-Request-ID"]).version == 7


def test_every_request_gets_its_own(client):
    assert len({client.get("/pages/hello")["X-Request-ID"] for _ in range(20)}) == 20


def test_a_nul_in_an_address_finds_nothing(client):
    assert client.get("/api/plain/%00").json()["code"] == "not_found"
    assert client.get("/api/plain/x?a=%00").json()["code"] == "malformed_request"


async def call(chunks, headers):
    """Speak ASGI to the whole site, as a server would."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/api/basket",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"), *headers],
    }
    site = ApplicationCommunicator(get_asgi_application(), scope)
    for number, chunk in enumerate(chunks, start=1):
        await site.send_input({"type": "http.request", "body": chunk, "more_body": number < len(chunks)})
    start = await site.receive_output(60)
    body = b""
    while True:
        message = await site.receive_output(60)
        body += message["body"]
        if not message.get("more_body"):
            return start["status"], json.loads(body)


def test_a_chunked_body_without_a_length_is_read():
    status, body = asyncio.run(call([b'{"items": ', b'[{"productId": "a", "quantity": 1}]}'], headers=[]))

    assert (status, body) == (200, {"received": {"items": [{"product_id": "a", "quantity": 1}]}})


def test_a_chunked_body_of_ten_megabytes_is_refused():
    status, body = asyncio.run(call([b"x" * 1_000_000] * 10, headers=[]))

    assert (status, body["code"]) == (413, "body_too_large")


def test_a_length_that_is_no_number_is_refused_there_too():
    status, body = asyncio.run(call([b"{}"], headers=[(b"content-length", b"abc")]))

    assert (status, body["code"]) == (400, "malformed_request")
