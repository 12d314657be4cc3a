import json
import logging

import pytest
from django.test import Client

pytestmark = pytest.mark.urls("marketplace.kernel.tests.site")

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "retryable", "requestId", "errors"}


@pytest.fixture
def api():
    return Client(raise_request_exception=False)


def problem(response, status, code):
    """Check what every problem has, and return it."""
    body = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert response["Content-Type"] == "application/problem+json"
    assert body.keys() >= MEMBERS
    assert body["type"] == f"urn:problem-type:marketplace:{code}"
    assert body["requestId"] == response["X-Request-ID"]
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize(
    ("name", "status", "code", "retryable"),
    [
        ("missing", 404, "not_found", False),
        ("conflict", 409, "conflict", False),
        ("refusal", 422, "out_of_stock", False),
        ("unavailable", 503, "unavailable", True),
        ("unknown-sku", 404, "unknown_sku", False),
        ("price-changed", 409, "price_changed", False),
        ("error", 500, "error", False),
        ("http404", 404, "not_found", False),
        ("denied", 403, "permission_denied", False),
        ("suspicious", 400, "malformed_request", False),
        ("throttled", 429, "throttled", True),
        ("database-gone", 503, "unavailable", True),
        ("database-closed", 503, "unavailable", True),
    ],
)
def test_each_error_has_its_status(api, name, status, code, retryable):
    body = problem(api.get(f"/api/raise/{name}"), status, code)

    assert body["retryable"] is retryable
    assert body["instance"] == f"/api/raise/{name}"


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("http404", 404, "not_found"),
        ("denied", 403, "permission_denied"),
        ("suspicious", 400, "malformed_request"),
        ("database-gone", 503, "unavailable"),
        ("unavailable", 503, "unavailable"),
        ("unforeseen", 500, "internal_error"),
    ],
)
def test_so_has_what_is_raised_outside_of_a_rest_view(api, name, status, code):
    problem(api.get(f"/api/plain/{name}"), status, code)


def test_what_an_error_carries_is_told_in_camel_case_and_can_not_forge_the_rest(api):
    body = problem(api.get("/api/raise/refusal"), 422, "out_of_stock")

    assert body["lines"] == [{"sku": "laptop-1", "askedFor": 2}]
    assert body["errors"] == [{"pointer": "/items/0/sku", "code": "out_of_stock", "detail": "Out of stock."}]
    assert "pointer" not in body
    assert body["title"] == "Out of stock"


def test_a_sku_nobody_knows_is_404_as_an_address_and_422_in_a_body(api):
    problem(api.get("/api/raise/unknown-sku"), 404, "unknown_sku")
    problem(api.post("/api/raise/unknown-sku"), 422, "unknown_sku")


@pytest.mark.parametrize(
    ("name", "seconds"), [("unavailable", "2"), ("busy", "7"), ("throttled", "3"), ("database-gone", "2")]
)
def test_who_may_come_back_is_told_when(api, name, seconds):
    assert api.get(f"/api/raise/{name}")["Retry-After"] == seconds


def test_what_refuses_for_good_says_nothing_of_coming_back(api):
    assert "Retry-After" not in api.get("/api/raise/refusal")


@pytest.mark.parametrize("name", ["not-authenticated", "authentication-failed", "sign-in-required"])
def test_401_names_the_scheme(api, name):
    response = api.get(f"/api/raise/{name}")

    problem(response, 401, name.replace("-", "_"))
    assert response["WWW-Authenticate"] == "Token"


def test_the_unforeseen_is_logged_with_its_traceback_and_tells_nothing(api, caplog):
    with caplog.at_level(logging.ERROR):
        response = api.get("/api/raise/unforeseen")

    problem(response, 500, "internal_error")
    assert b"hunter2" not in response.content
    [record] = [record for record in caplog.records if record.exc_info]
    assert "hunter2" in str(record.exc_info[1])


def test_a_method_that_is_not_there(api):
    response = api.get("/api/basket")

    problem(response, 405, "method_not_allowed")
    assert "POST" in response["Allow"]


def test_an_address_that_is_not_there(api):
    problem(api.get("/api/nothing"), 404, "not_found")


@pytest.mark.parametrize("name", ["http404", "denied", "suspicious", "unforeseen"])
def test_pages_keep_their_html(api, name):
    response = api.get(f"/pages/{name}")

    assert response["Content-Type"].startswith("text/html")


# --- bodies ----------------------------------------------------------------------------------------------------------


def send(api, body, content_type="application/json", **headers):
    return api.post("/api/basket", data=body, content_type=content_type, **headers)


def test_validation_errors_point_into_the_body(api):
    body = {
        "items": [{"productId": "a", "quantity": 1}, {"quantity": 0, "a/b~c_d": 1}],
        "tags": [1, "two"],
        "shipping_address": {},
    }

    errors = problem(send(api, json.dumps(body)), 400, "validation_error")["errors"]

    assert sorted((error["pointer"], error["code"]) for error in errors) == [
        ("/items/1/a~1b~0c_d", "unknown_field"),
        ("/items/1/productId", "required"),
        ("/items/1/quantity", "min_value"),
        ("/shipping_address", "unknown_field"),
        ("/tags/1", "invalid"),
    ]
    assert all(error["detail"] for error in errors)


def test_an_error_about_the_whole_points_at_the_whole(api):
    line = {"productId": "a", "quantity": 1}

    errors = problem(send(api, json.dumps({"items": [line] * 3})), 400, "validation_error")["errors"]

    assert errors == [{"pointer": "", "code": "too_many", "detail": "Too much for one bag."}]


@pytest.mark.parametrize("quantity", [0, -1, 10**9, 1e9, "two", None, 1.5, True, [], {}])
def test_a_quantity_that_is_none(api, quantity):
    body = problem(
        send(api, json.dumps({"items": [{"productId": "a", "quantity": quantity}]})), 400, "validation_error"
    )

    assert [error["pointer"] for error in body["errors"]] == ["/items/0/quantity"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        '{"a": 1}'.encode("utf-16"),
    ],
    ids=["open", "quotes", "nan", "infinity", "bytes", "deep", "long", "utf-16"],
)
def test_what_is_no_json_is_malformed(api, body):
    problem(send(api, body), 400, "malformed_json")


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"5", b"null", b"true"])
def test_json_that_is_no_object_is_invalid(api, body):
    problem(send(api, body), 400, "validation_error")


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
def test_text_that_the_database_can_not_hold_is_invalid(api, text):
    body = problem(send(api, json.dumps({"items": [{"productId": text, "quantity": 1}]})), 400, "validation_error")

    assert [error["pointer"] for error in body["errors"]] == ["/items/0/productId"]


def test_an_empty_body_is_invalid_or_malformed_but_no_fault_of_ours(api):
    assert send(api, b"").status_code == 400


@pytest.mark.parametrize("charset", ["base64", "utf-7", "nonsense"])
def test_a_charset_is_of_no_interest(api, charset):
    response = api.generic("POST", "/api/basket", b'{"items": []}', f"application/json; charset={charset}")

    assert response.status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense"]
)
def test_another_media_type(api, content_type):
    problem(send(api, b"<a/>", content_type=content_type), 415, "unsupported_media_type")


def test_a_body_of_ten_megabytes(api):
    problem(send(api, b'{"a": "' + b"x" * 10_000_000 + b'"}'), 413, "body_too_large")


def test_an_announced_body_of_ten_megabytes_is_not_read(api):
    problem(send(api, b"{}", CONTENT_LENGTH="10000000"), 413, "body_too_large")


@pytest.mark.parametrize("length", ["abc", "-5", "1.5", "²"])
def test_a_content_length_that_is_no_number(api, length):
    problem(send(api, b"{}", CONTENT_LENGTH=length), 400, "malformed_request")
