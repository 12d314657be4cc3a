"""What holds for every page: the policy, no inline code, contrast, and the shop's own look for what goes wrong."""

import re
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.urls import resolve

from marketplace.kernel.errors import Unavailable
from marketplace.storefront import middleware
from marketplace.storefront.tests.pages import look

HERE = Path(__file__).resolve().parent.parent
TEMPLATES = sorted((HERE / "templates").rglob("*.html"))
STYLE = (HERE / "static" / "storefront" / "shop.css").read_text()


@pytest.mark.django_db(transaction=True)
class TestCatalogue:
    def test_it_shows_what_is_for_sale_shelf_by_shelf(self, shop, guest):
        shop.stocked("laptop-1", 5, price_minor=129_900)
        shop.stocked("lamp-1", 0)
        page = look(guest, "/")
        assert {card["data-sku"] for card in page.all("product")} == {"laptop-1", "lamp-1"}
        assert "€1,299.00" in page.html
        assert {card["data-sku"] for card in look(guest, "/shelves/shelf").all("product")} == {"laptop-1", "lamp-1"}
        assert look(guest, "/shelves/no-such").status == 404

    @pytest.mark.parametrize(
        ("search", "found"),
        [("lamp", {"lamp-1"}), ("LAP", {"laptop-1"}), ("the", {"laptop-1", "lamp-1"}), ("x", set())],
    )
    def test_it_can_be_searched(self, shop, guest, search, found):
        shop.stocked("laptop-1", 5)
        shop.stocked("lamp-1", 5)
        assert {card["data-sku"] for card in look(guest, f"/?q={search}").all("product")} == found

    @pytest.mark.parametrize("search", ["%00", "%25", "_" * 500, "<script>alert(1)</script>", "'; DROP TABLE x; --"])
    def test_a_strange_search_finds_nothing_and_does_no_harm(self, shop, guest, search):
        page = look(guest, f"/?q={search}")
        assert page.status == 200
        assert "<script>alert" not in page.html

    @pytest.mark.parametrize("address", ["/products/no-such", "/products/no-such/availability", "/checkout/no-such"])
    def test_a_product_that_is_not_there(self, shop, guest, address):
        page = look(guest, address)
        assert page.status == 404
        assert page.text("apology").startswith("There is nothing here")


class TestPolicy:
    @pytest.mark.django_db
    @pytest.mark.parametrize("address", ["/", "/sign-in", "/register", "/orders", "/nothing/here"])
    def test_every_page_of_the_shop_forbids_what_it_does_not_need(self, guest, address):
        policy = guest.get(address).headers["Content-Security-Policy"]
        assert policy == middleware.POLICY
        assert "unsafe" not in policy

    @pytest.mark.django_db
    def test_the_admin_has_its_own_ways(self, guest):
        assert "Content-Security-Policy" not in guest.get("/admin/login/").headers

    @pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
    def test_no_template_has_code_or_style_inside(self, template):
        text = template.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)", text)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
        assert "csrf_token" in text or 'method="post"' not in text


class TestErrors:
    @pytest.mark.django_db
    def test_a_crash_is_told_in_the_shops_own_look(self, monkeypatch, settings):
        monkeypatch.setattr("inventory.selectors.categories", lambda: 1 / 0)
        response = Client(raise_request_exception=False).get("/")
        assert response.status_code == 500
        assert b"We dropped something" in response.content

    @pytest.mark.parametrize("error", [OperationalError("gone"), Unavailable()])
    def test_a_part_that_is_away_is_a_503_that_asks_nobody(self, error):
        request = RequestFactory().get("/")
        request.resolver_match = resolve("/")
        response = middleware.ShopMiddleware(lambda _: None).process_exception(request, error)
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "5"
        assert b"One moment, please" in response.content

    def test_what_nobody_foresaw_is_left_to_django(self):
        request = RequestFactory().get("/")
        request.resolver_match = resolve("/")
        shop = middleware.ShopMiddleware(lambda _: None)
        assert shop.process_exception(request, ZeroDivisionError()) is None
        request.resolver_match = resolve("/admin/")
        assert shop.process_exception(request, Unavailable()) is None


def _tokens(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+):\s*(#[0-9a-f]{6})\b", css))


def _luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


DAY = _tokens(STYLE.split("@media (prefers-color-scheme: dark)")[0])
NIGHT = {**DAY, **_tokens(STYLE.split("@media (prefers-color-scheme: dark)")[1].split("/* --- ground")[0])}
TEXT_ON = [
    ("ink", "ground"), ("ink", "surface"), ("ink", "sunken"), ("muted", "ground"), ("muted", "surface"),
    ("muted", "sunken"), ("link", "ground"), ("link", "surface"), ("on-brand", "brand"), ("on-gold", "gold"),
    ("good", "good-soft"), ("good", "ground"), ("good", "surface"), ("muted", "good-soft"), ("bad", "bad-soft"),
    ("bad", "ground"), ("bad", "surface"), ("calm", "calm-soft"), ("alert", "alert-soft"), ("paper-ink", "paper"),
    ("paper-muted", "paper"), ("paper-good", "paper"), ("paper-bad", "paper"), ("ground", "ink"),
]  # fmt: skip
SHAPES_ON = [("edge", "surface"), ("focus", "ground"), ("focus", "surface"), ("good", "surface"), ("gold", "brand")]


@pytest.mark.parametrize("colors", [DAY, NIGHT], ids=["day", "night"])
def test_text_can_be_read_and_shapes_be_seen(colors):
    """WCAG 2.2 AA: 4.5 to 1 for text (1.4.3), 3 to 1 for controls and focus (1.4.11)."""
    dim = {pair: _contrast(colors[pair[0]], colors[pair[1]]) for pair in TEXT_ON}
    faint = {pair: _contrast(colors[pair[0]], colors[pair[1]]) for pair in SHAPES_ON}
    assert {pair: round(value, 2) for pair, value in dim.items() if value < 4.5} == {}
    assert {pair: round(value, 2) for pair, value in faint.items() if value < 3} == {}
