"""Which language a page is in, how a visitor changes it, and what stays English."""

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import translation

from marketplace.accounts.models import User
from marketplace.idempotency import errors as keys
from marketplace.kernel import errors as kernel
from marketplace.kernel.errors import MarketplaceError
from marketplace.storefront import refusals
from marketplace.storefront.tests.pages import Page, look, press_buy_now, remember_address
from orders import errors
from orders.models import Order
from orders.returns import errors as returns

# What only staff and programs are refused for.
NOT_FOR_BUYERS = {
    errors.UnknownReview, errors.ReviewOver, errors.NotConfirmed, errors.NotPlacedYet, errors.BeingTakenBack,
    errors.CreditTooLarge, errors.CreditKeyReused, returns.WrongReceipt, returns.ReturnNotApproved,
    returns.ReturnReceived, keys.KeyMissing, keys.KeyMalformed, keys.KeyReused, keys.InProgress,
}  # fmt: skip


def language(page):
    return next(element["lang"] for element in page.elements if element["tag"] == "html")


def speaking(tags):
    return Client(headers={"Accept-Language": tags})


@pytest.mark.django_db
class TestWhichLanguage:
    @pytest.mark.parametrize(
        ("asked", "given", "headline"),
        [
            ("", "en", "Good to see you"),
            ("de", "de", "Schön, dass Sie da sind"),
            ("de-AT,de;q=0.9,en;q=0.5", "de", "Schön, dass Sie da sind"),
            ("fr-FR,fr;q=0.9", "en", "Good to see you"),
            ("tlh;q=x,\x00", "en", "Good to see you"),
        ],
    )
    def test_it_is_what_the_browser_asks_for_as_far_as_we_speak_it(self, asked, given, headline):
        page = look(speaking(asked), "/sign-in")
        assert language(page) == given
        assert f"<h1>{headline}</h1>" in page.html

    @pytest.mark.parametrize("address", ["/", "/sign-in", "/orders", "/nothing/here"])
    def test_caches_are_told_what_it_depends_on(self, guest, address):
        vary = {name.strip().lower() for name in guest.get(address).headers["Vary"].split(",")}
        assert {"accept-language", "cookie"} <= vary

    def test_errors_are_told_in_it_too(self, monkeypatch, settings):
        assert "Hier ist nichts" in look(speaking("de"), "/nothing/here").html

        def away(*_):
            raise OperationalError

        monkeypatch.setattr("inventory.selectors.categories", away)
        page = look(speaking("de"), "/")
        assert (page.status, language(page)) == (503, "de")
        assert "Einen Moment, bitte" in page.html
        monkeypatch.setattr("inventory.selectors.categories", lambda: 1 / 0)
        german = Client(raise_request_exception=False, headers={"Accept-Language": "de"})
        assert "Uns ist etwas heruntergefallen" in look(german, "/").html
        checked = Client(enforce_csrf_checks=True, headers={"Accept-Language": "de"})
        assert "Diese Seite war zu lange offen" in checked.post("/register").content.decode()

    def test_the_next_request_does_not_inherit_it(self):
        look(speaking("de"), "/sign-in")
        assert translation.get_language() == "en"
        assert language(look(Client(), "/sign-in")) == "en"


@pytest.mark.django_db
class TestChoosing:
    def choose(self, client, language, **more):
        return client.post("/language", {"language": language, **more})

    def test_a_choice_counts_more_than_the_browser_and_is_kept_for_a_year(self):
        client = speaking("de")
        reply = self.choose(client, "en", next="/orders?older=x")
        assert (reply.status_code, reply.headers["Location"]) == (302, "/orders?older=x")
        cookie = client.cookies["django_language"]
        assert (cookie.value, cookie["max-age"], cookie["samesite"]) == ("en", 365 * 86_400, "Lax")
        assert language(look(client, "/orders")) == "en"
        self.choose(client, "de")
        assert language(look(client, "/orders")) == "de"

    @pytest.mark.parametrize("wanted", ["tlh", "", "../de", "x" * 9999])
    def test_what_we_do_not_speak_changes_nothing(self, guest, wanted):
        assert self.choose(guest, wanted).status_code == 302
        assert language(look(guest, "/sign-in")) == "en"

    @pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
    def test_it_leads_nowhere_else(self, guest, elsewhere):
        assert self.choose(guest, "de", next=elsewhere).headers["Location"] == "/"

    def test_only_the_page_itself_can_choose(self, guest):
        assert guest.get("/language?language=de").status_code == 405
        assert Client(enforce_csrf_checks=True).post("/language", {"language": "de"}).status_code == 403

    def test_every_page_offers_it_and_comes_back_to_itself(self, guest):
        page = look(guest, "/?q=lamp&x=%C3%A4")
        assert page.fields("/language") == {"next": "/?q=lamp&x=%C3%A4"}
        assert [button["value"] for button in page.elements if button.get("name") == "language"] == ["en", "de"]
        assert "aria-current" in page.one("language-en")
        assert (page.text("language-de"), page.one("language-de")["lang"]) == ("Deutsch", "de")


@pytest.mark.django_db(transaction=True)
class TestOrders:
    def test_a_page_that_answers_a_press_comes_back_as_the_page_that_was_pressed(self, shop, guest):
        shop.stocked("laptop-1", 5)
        remember_address(guest)
        form = look(guest, "/products/laptop-1").fields("/buy")
        page = Page(guest.post("/buy", {**form, "quantity": "1000"}))
        assert page.status == 400
        assert page.fields("/language") == {"next": "/products/laptop-1?quantity=1000"}
        page = Page(guest.post("/language", {**page.fields("/language"), "language": "de"}, follow=True))
        assert (page.status, page.text("buy-now")) == (200, "Jetzt kaufen")

    def test_an_order_is_placed_in_the_language_that_was_chosen(self, shop, guest):
        shop.stocked("laptop-1", 5)
        guest.post("/language", {"language": "de"})
        press_buy_now(guest, "laptop-1")
        assert Order.objects.get().language == "de"

    def test_what_is_swapped_in_is_in_the_language_of_the_page(self, shop, guest):
        shop.stocked("laptop-1", 5, price_minor=129_900)
        guest.post("/language", {"language": "de"})
        stock = guest.get("/products/laptop-1/availability?seen=3").content.decode()
        assert "Nur noch 5 da" in stock
        assert "Jetzt kaufen" in stock
        address = press_buy_now(guest, "laptop-1").headers["Location"]
        polled = look(guest, address).by_id("order")["hx-get"]
        shop.work()
        page = look(guest, polled)
        assert page.text("order-headline") == "Es gehört Ihnen"
        assert page.text("money") == "1.299,00 € wurden von Ihrer Karte abgebucht, einmal."
        assert page.text("order-status") == "Bestätigt"

    def test_a_page_whose_language_changes_is_not_what_was_seen(self, shop, guest):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(guest, "laptop-1").headers["Location"]
        polled = look(guest, address).by_id("order")["hx-get"]
        assert guest.get(polled).status_code == 204
        guest.post("/language", {"language": "de"})
        assert look(guest, polled).text("order-headline") == "Ihre Bestellung ist eingegangen"

    def test_a_refusal_is_told_in_it(self, shop, guest):
        shop.stocked("laptop-1", 5)
        guest.post("/language", {"language": "de"})
        address = press_buy_now(guest, "laptop-1", payment_method="tok_declined").headers["Location"]
        shop.work()
        page = look(guest, address)
        assert page.text("order-what") == (
            "Die Antwort Ihrer Bank: „Die Karte wurde abgelehnt.“ Deshalb stehen Ihre Artikel wieder im Regal."
        )
        refused = guest.post(f"{address}/cancel", follow=True).content.decode()
        assert "Diese Bestellung kann nicht mehr storniert werden." in refused


def _errors(*modules):
    found = {one for module in modules for one in vars(module).values() if isinstance(one, type)}
    return sorted(
        (one for one in found - NOT_FOR_BUYERS if issubclass(one, MarketplaceError) and one is not MarketplaceError),
        key=lambda one: one.__name__,
    )


@pytest.mark.parametrize("error", _errors(kernel, errors, returns, keys), ids=lambda error: error.__name__)
def test_a_buyer_can_read_every_refusal(error):
    with translation.override("de"):
        assert refusals.said(error()) != error().message
        assert refusals.said(error("Zorp.")) != "Zorp."
    assert refusals.said(error("Zorp.")) == "Zorp."


class TestWhatStaysEnglish:
    @pytest.mark.django_db
    @pytest.mark.parametrize(
        "address",
        ["/admin/login/", "/admin/", "/admin/orders/order/", "/admin/accounts/user/add/", "/admin/fulfillment/batch/"],
    )
    def test_the_admin(self, address):
        staff = User.objects.create_superuser("boss", password="correct horse")
        read = []
        for tags in ("en", "de"):
            client = speaking(tags)
            if tags == "de":
                client.post("/language", {"language": "de"})
            if "login" not in address:
                client.force_login(staff)
            page = look(client, address)
            assert (page.status, language(page)) == (200, "en")
            read.append([one["text"] for one in page.elements if one["tag"] in {"a", "label", "button", "h1", "h2"}])
        assert read[0] == read[1]

    @pytest.mark.django_db
    def test_what_the_admin_refuses(self):
        checked = Client(enforce_csrf_checks=True, headers={"Accept-Language": "de"})
        assert b"This page was open for too long" in checked.post("/admin/login/").content

    @pytest.mark.django_db
    def test_the_api(self):
        for address in ("/api/orders", "/api/nothing"):
            english, german = Client().get(address).json(), speaking("de").get(address).json()
            assert {**english, "requestId": ""} == {**german, "requestId": ""}
        reply = speaking("de").post(
            "/api/orders", {"items": []}, content_type="application/json", headers={"Idempotency-Key": "k" * 20}
        )
        assert [one["detail"] for one in reply.json()["errors"]] == ["This list may not be empty."]
