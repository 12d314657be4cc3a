from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import transaction
from django.templatetags.static import static

from inventory.services import reserve
from inventory.tests.books import wants

pytestmark = [pytest.mark.django_db, pytest.mark.urls("inventory.tests.api.urls")]


@pytest.fixture
def shop(stocked):
    stocked("lamp", 5, name="Desk lamp", description="For long evenings.", image="shop/products/laptop-1.svg")
    stocked("rug", name="Woollen rug", price_minor=129900)
    stocked("pan", 2, name="Iron pan", category="kitchen", currency="JPY", price_minor=500)
    stocked("old-pan", 1, name="Old pan", category="kitchen", is_active=False)


def skus(response):
    assert response.status_code == 200, response.content
    return [product["sku"] for product in response.json()["results"]]


def problem(response, status, code):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["code"]) == (status, code)
    return body


def test_a_product(client, shop, now, django_assert_num_queries):
    with transaction.atomic():
        reserve([wants(("lamp", 2))], now=now)
    with django_assert_num_queries(1):
        response = client.get("/api/products/lamp")
    body = response.json()
    assert body.pop("id")
    assert response.status_code == 200
    assert body == {
        "sku": "lamp",
        "name": "Desk lamp",
        "description": "For long evenings.",
        "category": "Home",
        "price": "49.00",
        "currency": "EUR",
        "available": 3,
        "image": f"http://testserver{static('shop/products/laptop-1.svg')}",
    }


def test_amounts_have_the_decimals_of_their_currency_and_no_picture_is_an_empty_string(client, shop):
    assert client.get("/api/products/rug").json()["price"] == "1299.00"
    pan = client.get("/api/products/pan").json()
    assert (pan["price"], pan["currency"], pan["image"]) == ("500", "JPY", "")


@pytest.mark.parametrize("sku", ["no-such-thing", "old-pan", "LAMP", "lamp%0A", "%F0%9F%92%A1", "l" * 500])
def test_a_product_that_is_not_there(client, shop, sku):
    assert problem(client.get(f"/api/products/{sku}"), 404, "unknown_sku")["retryable"] is False


def test_a_nul_never_reaches_the_database(client, shop, django_assert_num_queries):
    with django_assert_num_queries(0):
        problem(client.get("/api/products/%00"), 404, "not_found")
        problem(client.get("/api/products?search=%00"), 400, "malformed_request")


def test_the_list(client, shop, django_assert_num_queries):
    with django_assert_num_queries(1):
        response = client.get("/api/products")
    assert skus(response) == ["lamp", "pan", "rug"]
    assert response.json()["next"] is response.json()["previous"] is None
    assert [product["available"] for product in response.json()["results"]] == [5, 2, 0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("category=home", ["lamp", "rug"]),
        ("category=garden", []),
        ("search=evening%20desk", ["lamp"]),
        ("search=", ["lamp", "pan", "rug"]),
        ("category=", ["lamp", "pan", "rug"]),
        ("sku=rug", ["rug"]),
        ("sku=rug&sku=lamp&sku=no-such-thing", ["lamp", "rug"]),
        ("sku=old-pan", []),
        ("sku=rug&category=kitchen", []),
        ("colour=blue", ["lamp", "pan", "rug"]),
    ],
)
def test_filters(client, shop, query, expected):
    assert skus(client.get(f"/api/products?{query}")) == expected


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("sku=Not%20a%20SKU", "/sku/0"),
        ("sku=lamp&sku=", "/sku/1"),
        ("search=" + "x" * 101, "/search"),
        ("limit=many", "/limit"),
        ("&".join(f"sku=lamp-{number}" for number in range(101)), "/sku"),
    ],
)
def test_filters_that_make_no_sense_are_told(client, shop, query, pointer):
    body = problem(client.get(f"/api/products?{query}"), 400, "validation_error")
    assert [error["pointer"] for error in body["errors"]] == [pointer]


def test_pages_forth_and_back(client, shop):
    first = client.get("/api/products?limit=2&search=").json()
    assert [product["sku"] for product in first["results"]] == ["lamp", "pan"]
    assert first["previous"] is None
    second = client.get(first["next"]).json()
    assert [product["sku"] for product in second["results"]] == ["rug"]
    assert second["next"] is None
    assert client.get(second["previous"]).json()["results"] == first["results"]
    assert parse_qs(urlsplit(first["next"]).query)["limit"] == ["2"]


@pytest.mark.parametrize("cursor", ["nonsense", "%F0%9F%92%A1", "eDpsYW1w", "YTphAGI="])
def test_a_cursor_that_is_not_ours_is_told(client, shop, cursor):
    problem(client.get(f"/api/products?cursor={cursor}"), 400, "invalid_cursor")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_the_catalogue_is_only_read(client, shop, method):
    problem(getattr(client, method)("/api/products"), 405, "method_not_allowed")
    problem(getattr(client, method)("/api/products/lamp"), 405, "method_not_allowed")
    assert skus(client.get("/api/products")) == ["lamp", "pan", "rug"]
