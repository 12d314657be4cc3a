"""Pages that are paid by a provider's script: what they let in, what they take, and whom they tell what."""

import pytest

from marketplace.storefront.middleware import POLICY
from marketplace.storefront.tests.pages import Page, look
from marketplace.storefront.tests.test_checkout import check_out
from orders import selectors
from orders.models import Order
from payments import checkout
from payments.tests.gateways.paypal import fake as paypal
from payments.tests.gateways.stripe import fake as stripe

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def by_stripe(shop, settings):
    with stripe.running() as fake:
        settings.PAYMENT_GATEWAY, settings.STRIPE_API_BASE = "stripe", fake.url
        settings.STRIPE_SECRET_KEY, settings.STRIPE_PUBLISHABLE_KEY = "sk_test_1", "pk_test_1"
        settings.PAYMENT_GATEWAYS_READY = ["stripe"]
        shop.stocked("laptop-1", 5)
        yield shop


@pytest.fixture
def by_paypal(shop, settings):
    with paypal.running() as fake:
        settings.PAYMENT_GATEWAY, settings.PAYPAL_API_BASE = "paypal", fake.url
        settings.PAYPAL_CLIENT_ID, settings.PAYPAL_CLIENT_SECRET = fake.login
        settings.PAYMENT_GATEWAYS_READY = ["paypal"]
        shop.stocked("laptop-1", 5)
        yield shop


def policy_of(response):
    return dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))


def test_only_a_page_at_the_till_lets_the_provider_in(by_stripe, guest):
    policy = policy_of(guest.get("/checkout/laptop-1"))
    assert policy["script-src"] == "'self' https://js.stripe.com https://*.js.stripe.com"
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in str(policy)
    for address in ("/", "/products/laptop-1", "/orders"):
        assert guest.get(address).headers["Content-Security-Policy"] == POLICY


def test_every_page_has_a_nonce_of_its_own_for_paypal(by_paypal, guest):
    pages = [guest.get("/checkout/laptop-1") for _ in range(2)]
    nonces = [policy_of(page)["style-src"] for page in pages]
    assert nonces[0] != nonces[1]
    script = next(e for e in Page(pages[0]).elements if e["tag"] == "script" and "paypal.com" in e["src"])
    assert nonces[0] == f"'self' 'nonce-{script['nonce']}'"
    assert script["data-csp-nonce"] == script["nonce"]
    assert pages[0].headers["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"


@pytest.mark.parametrize("provider", ["by_stripe", "by_paypal"])
def test_no_page_has_a_field_for_a_card_and_none_names_a_test_card(request, guest, provider):
    request.getfixturevalue(provider)
    for address in ("/products/laptop-1", "/checkout/laptop-1"):
        page = look(guest, address)
        names = {e.get("name", "") for e in page.elements if e["tag"] in {"input", "select"}}
        assert names <= {
            "q", "csrfmiddlewaretoken", "sku", "price_minor", "key", "quantity", "payment_method", "name", "line1",
            "postal_code", "city", "country", "email", "next",
        }  # fmt: skip
        assert "tok_" not in page.html


@pytest.mark.parametrize(
    "method", ["4242424242424242", "pm_4242424242424242", "ctoken_4242_4242_4242_4242", "tok_visa", "", "vault:1"]
)
def test_nothing_but_a_token_of_stripes_is_taken(by_stripe, guest, method):
    page = Page(check_out(guest, "laptop-1", pay="now", payment_method=method))
    assert page.status == 400
    assert page.text("payment-method-error") == "Please choose how you want to pay."
    assert Order.objects.count() == 0


@pytest.mark.parametrize("method", ["vault:approved", "tok_visa", "4242424242424242"])
def test_nothing_but_the_buyers_own_word_is_taken_for_paypal(by_paypal, guest, method):
    assert check_out(guest, "laptop-1", pay="now", payment_method=method).status_code == 400
    assert Order.objects.count() == 0


def test_reserving_needs_no_word_about_the_payment(by_stripe, guest):
    assert check_out(guest, "laptop-1", pay="later", payment_method="").status_code == 302


def test_the_secret_of_a_payment_is_for_its_buyer_alone(by_stripe, guest, buyer):
    address = check_out(guest, "laptop-1", pay="now", payment_method="ctoken_secure").headers["Location"]
    assert guest.get(f"{address}/confirmation").json() == {"state": "wait"}  # nobody has asked Stripe yet
    by_stripe.work()
    reply = guest.get(f"{address}/confirmation")
    assert (reply.json()["state"], reply.json()["clientSecret"][:3]) == ("ready", "pi_")
    assert reply.headers["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    assert reply.json()["clientSecret"] not in look(guest, address).html
    assert [buyer.get(f"{address}/confirmation").status_code, buyer.post(f"{address}/look").status_code] == [404, 404]


def test_an_order_that_is_over_has_nothing_to_confirm(by_stripe, guest):
    address = check_out(guest, "laptop-1", pay="now", payment_method="ctoken_declined").headers["Location"]
    by_stripe.work()
    assert guest.get(f"{address}/confirmation").json() == {"state": "over"}


def test_who_comes_back_from_the_provider_is_looked_after(by_paypal, guest, monkeypatch):
    seen = []
    monkeypatch.setattr(checkout, "buyer_was_there", seen.append)
    address = check_out(guest, "laptop-1", pay="now").headers["Location"]
    by_paypal.work()
    order = Order.objects.get()
    guest.get(address)
    assert seen == []
    guest.get(f"{address}?token=ORDER1&PayerID=P")
    guest.post(f"{address}/look")
    assert seen == [order.id, order.id]
    again = [guest.post(f"{address}/look") for _ in range(20)]
    assert [reply.status_code for reply in again] == [204] * 19 + [429]
    assert (again[-1].json()["code"], 1 <= int(again[-1].headers["Retry-After"]) <= 60) == ("throttled", True)
    assert len(seen) == 21
    assert look(guest, address).one("confirm-at-bank")["href"] == selectors.order(order.id).payment.action_url
