"""Stripe's Payment Element, in a browser, before the whole running system."""

import re
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Page, expect

from payments.tests.gateways.stripe import fake as stripe
from tests.e2e.providers import be_stripe
from tests.e2e.test_buy_now import DECIDED, ORDER, arrives, on
from tests.e2e.till import PRICE_MINOR, SKU, buyer, check_out, fits_a_phone, is_confirmed, open_shop, press

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def fake():
    with stripe.running() as fake:
        yield fake


@pytest.fixture(scope="module")
def shop(fake, tmp_path_factory):
    keys = {
        "STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_PUBLISHABLE_KEY": "pk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1",
    }  # fmt: skip
    settings = {"PAYMENT_GATEWAY": "stripe", "STRIPE_API_BASE": fake.url, **keys}
    with open_shop(tmp_path_factory.mktemp("stripe"), **settings) as shop:
        yield shop


@pytest.fixture
def page(browser, shop, fake):
    with buyer(browser, shop, be_stripe, fake) as page:
        yield page


def type_card(page: Page, number: str) -> None:
    """Type it into Stripe's field, and wait until Stripe's script knows it, as it does when people type."""
    page.frame_locator("[data-fields] iframe").get_by_label("Card number").fill(number)
    page.wait_for_function(f"window.stripeHeard === '{number.replace(' ', '')}'")


def posts(page: Page) -> list:
    """Every form that the checkout sends to the shop from now on."""
    sent = []
    page.on("request", lambda one: sent.append(one) if one.method == "POST" and "/checkout/" in one.url else None)
    return sent


def newest(fake):
    return list(fake.intents.values())[-1]


def test_a_card_is_told_to_stripe_alone(page, shop, fake):
    before = shop.available(SKU)
    sent = posts(page)
    check_out(page)
    type_card(page, "4242 4242 4242 4242")
    on(page, "buy-now").click()
    arrives(page, ORDER)
    is_confirmed(page)
    intent = newest(fake)
    assert (intent["status"], intent["amount_received"], intent["currency"]) == ("succeeded", PRICE_MINOR, "eur")
    assert shop.available(SKU) == before - 1
    (bought,) = sent
    fields = parse_qs(bought.post_data)
    assert fields["payment_method"][0].startswith("ctoken_visa")
    assert not {"number", "cvc", "expiry", "card"} & fields.keys()
    assert "4242" not in bought.post_data


def test_the_element_knows_what_is_paid(page):
    check_out(page)
    on(page, "quantity").fill("3")
    page.wait_for_function("window.stripeAsked.amount === 389700")


@pytest.mark.parametrize(("number", "says"), [("4000000000000002", "declined"), ("4000000000009995", "insufficient")])
def test_a_card_that_stripe_declines(page, shop, fake, number, says):
    before = shop.available(SKU)
    check_out(page)
    type_card(page, number)
    on(page, "buy-now").click()
    arrives(page, ORDER)
    expect(on(page, "stamp")).to_have_text("Not charged", timeout=DECIDED)
    expect(on(page, "order-what")).to_contain_text(says)
    assert newest(fake)["amount_received"] == 0
    assert shop.available(SKU) == before


def test_an_unfinished_number_is_told_at_once_and_orders_nothing(page, fake):
    before, sent = len(fake.intents), posts(page)
    check_out(page)
    type_card(page, "4242 42")
    on(page, "buy-now").click()
    expect(on(page, "till-trouble")).to_have_text("Your card number is incomplete.")
    assert sent == []
    type_card(page, "4242 4242 4242 4242")
    on(page, "buy-now").click()
    arrives(page, ORDER)
    is_confirmed(page)
    assert len(fake.intents) == before + 1


@pytest.mark.parametrize(("button", "end"), [("Yes, it is me", "Confirmed"), ("No", "Didn’t work out")])
def test_a_bank_that_asks_is_answered_on_the_orders_page(page, shop, fake, button, end):
    before = shop.available(SKU)
    check_out(page)
    type_card(page, "4000 0000 0000 3220")
    on(page, "buy-now").click()
    arrives(page, ORDER)
    press(page.frame_locator("[data-testid=bank]").get_by_role("button", name=button))
    expect(on(page, "order-status")).to_have_text(end, timeout=DECIDED)
    assert newest(fake)["amount_received"] == (PRICE_MINOR if end == "Confirmed" else 0)
    assert shop.available(SKU) == before - (end == "Confirmed")
    assert "_secret_" not in page.content()


def test_who_leaves_the_bank_is_asked_again_when_they_press(page, fake):
    check_out(page)
    type_card(page, "4000 0000 0000 3220")
    on(page, "buy-now").click()
    arrives(page, ORDER)
    expect(on(page, "bank")).to_be_visible(timeout=DECIDED)
    page.reload()
    expect(on(page, "confirm-at-bank")).to_be_visible()
    expect(on(page, "bank")).to_have_count(0)
    on(page, "confirm-at-bank").click()
    press(page.frame_locator("[data-testid=bank]").get_by_role("button", name="Yes, it is me"))
    is_confirmed(page)
    assert newest(fake)["status"] == "succeeded"


def test_who_reserves_pays_on_the_orders_page(page, fake):
    before = len(fake.intents)
    check_out(page)
    on(page, "reserve").click()
    arrives(page, ORDER)
    expect(on(page, "countdown")).to_be_visible(timeout=DECIDED)
    assert len(fake.intents) == before
    type_card(page, "4242 4242 4242 4242")
    on(page, "pay-now").click()
    is_confirmed(page)
    assert newest(fake)["amount_received"] == PRICE_MINOR


def test_without_stripes_script_nothing_is_ordered(page, fake):
    page.context.route("https://js.stripe.com/**", lambda route: route.fulfill(status=204))
    before = len(fake.intents)
    check_out(page)
    expect(on(page, "till-trouble")).to_contain_text("Stripe can’t be reached")
    with page.expect_response(re.compile("/checkout/")) as reply:
        on(page, "buy-now").evaluate("button => button.form.submit()")
    assert reply.value.status == 400
    expect(on(page, "payment-method-error")).to_have_text("Please choose how you want to pay.")
    assert len(fake.intents) == before
    page.complaints_are_expected = True


@pytest.mark.parametrize("path", [f"/products/{SKU}", f"/checkout/{SKU}"])
def test_a_phone_shows_all_of_it(page, path):
    fits_a_phone(page, path)
