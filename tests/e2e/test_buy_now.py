"""What a shopper does in a browser, against the whole running system."""

import re
import time
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.running import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DECIDED = 60_000  # milliseconds
ADDRESS = {"Name": "Ada Lovelace", "Street": "Analytical Row 1", "Postal code": "10115", "City": "Berlin"}
ORDER = re.compile(r"/orders/[0-9a-f-]{36}$")
WORKS = ["Reserved", "Payment", "Fraud check", "Confirmed"]


def on(page: Page, name: str):
    return page.get_by_test_id(name)


def arrives(page: Page, where: str | re.Pattern[str]):
    """Wait until the page is `where`. One that moves on while it is still moving is no error, as a person sees it."""
    expect(page).to_have_url(where, timeout=DECIDED)
    page.wait_for_load_state()


def buy(page: Page, sku: str = "laptop-1", *, card: str = "tok_visa", quantity: int = 1):
    """Press Buy Now on the product's page; the first time say at the checkout where it goes, and press it there."""
    page.goto(f"/products/{sku}")
    on(page, "quantity").fill(str(quantity))
    if not on(page, "sent-to").count():
        on(page, "buy-now").click()
        arrives(page, re.compile(f"/checkout/{sku}"))
        say_where(page)
    on(page, "payment-method").select_option(card)
    on(page, "buy-now").click()
    arrives(page, ORDER)


def say_where(page: Page):
    for label, value in ADDRESS.items():
        page.get_by_label(label).fill(value)


def sign_in(page: Page, name: str = "user-1"):
    page.goto("/sign-in")
    page.get_by_label(re.compile("name", re.IGNORECASE)).fill(name)
    page.get_by_label(re.compile("password", re.IGNORECASE)).first.fill("marketplace")
    on(page, "submit").click()
    expect(on(page, "signed-in-as")).to_contain_text(name)


def test_the_first_time_it_is_asked_where_to_and_then_one_press_is_enough(page, running_shop):
    before = running_shop.available("mouse-1")
    page.goto("/products/mouse-1")
    on(page, "quantity").fill("2")
    on(page, "buy-now").click()

    arrives(page, re.compile("/checkout/mouse-1"))
    expect(on(page, "quantity")).to_have_value("2")
    page.wait_for_timeout(1000)
    assert running_shop.available("mouse-1") == before  # nothing is ordered yet, and nothing set aside
    say_where(page)
    on(page, "buy-now").click()
    arrives(page, ORDER)
    first = page.url
    expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)

    page.goto("/products/mouse-1")
    expect(on(page, "sent-to")).to_contain_text("Sent to Ada Lovelace, Analytical Row 1, 10115 Berlin, Germany.")
    on(page, "buy-now").click()
    arrives(page, ORDER)
    assert page.url != first
    expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)
    expect(on(page, "order")).to_contain_text("For Ada Lovelace, Berlin")
    assert running_shop.available("mouse-1") == before - 3


def test_another_address_is_one_link_away_and_what_was_chosen_goes_along(page):
    buy(page, "mouse-1")
    page.goto("/products/mouse-1")
    on(page, "quantity").fill("2")
    on(page, "payment-method").select_option("tok_flaky")
    on(page, "change-address").click()

    arrives(page, re.compile("/checkout/mouse-1"))
    expect(on(page, "quantity")).to_have_value("2")
    expect(on(page, "payment-method")).to_have_value("tok_flaky")
    page.get_by_label("City").fill("Potsdam")
    on(page, "buy-now").click()
    arrives(page, ORDER)
    expect(on(page, "order")).to_contain_text("For Ada Lovelace, Potsdam")


@contextmanager
def standing_still(shop, what: str):
    """Orders come as far as `what`, and go on from there afterwards."""

    def decide(deed: str):
        done = shop.manage("sagas", deed, what, "--reason", "So that it can be seen.")
        assert done.returncode == 0, done.stderr

    decide("pause")
    try:
        yield
    finally:
        decide("resume")


def test_buy_now_walks_through_the_states_to_confirmed(page, running_shop):
    before = running_shop.available("laptop-1")
    seen = []
    sign_in(page)
    page.on("response", lambda r: seen.append(r.url) if "/progress" in r.url else None)

    with standing_still(running_shop, "place_order/check_fraud"):
        buy(page)
        expect(on(page, "order-status")).not_to_have_text("Confirmed")  # it is on its way, and says so
    expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)

    expect(on(page, "stage")).to_have_count(len(WORKS))
    for stage, name in zip(on(page, "stage").all(), WORKS, strict=True):
        expect(stage).to_contain_text(name)
    expect(page.locator("[data-testid=saga-step][data-status=DONE]")).to_have_count(6)
    expect(on(page, "money")).to_contain_text("€1,299.00 was taken from your card, once.")
    assert seen  # without a reload
    assert running_shop.available("laptop-1") == before - 1
    page.wait_for_timeout(1500)
    asked, begun = len(seen), time.monotonic()
    page.wait_for_timeout(1500)
    # A decided order is asked about every ten seconds only, because of its parcel.
    assert len(seen) - asked <= 1 + (time.monotonic() - begun) / 5


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ("tok_declined", "declined"),
        ("tok_insufficient_funds", "enough"),
        ("tok_fraud", "checks"),
    ],
)
def test_a_card_that_does_not_work(page, running_shop, card, says):
    before = running_shop.available("laptop-1")

    buy(page, card=card)

    expect(on(page, "stamp")).to_be_visible(timeout=DECIDED)
    expect(on(page, "order-what")).to_contain_text(says)
    expect(on(page, "money")).to_contain_text(re.compile("no money was taken|nothing was taken", re.IGNORECASE))
    assert "fraud" not in page.get_by_test_id("order-what").inner_text().lower()
    expect(on(page, "keep-shopping")).to_be_visible()
    assert running_shop.available("laptop-1") == before


@pytest.mark.parametrize(("button", "end"), [("approve", "Confirmed"), ("decline", "Didn’t work out")])
def test_a_bank_that_wants_to_hear_from_the_buyer(page, running_shop, button, end):
    buy(page, card="tok_requires_action")
    order = page.url

    on(page, "confirm-at-bank").click(timeout=DECIDED)
    page.locator(f"button[value={button}]").click()

    arrives(page, order)  # and back again, by itself
    expect(on(page, "order-status")).to_have_text(end, timeout=DECIDED)


def statuses(shop, address: str) -> set[str]:
    """All that the order of this page has been."""
    rows = shop.rows("SELECT order_id::text, to_status FROM orders_timelineentry")
    return {status for order_id, status in rows if address.endswith(order_id)}


def test_a_bank_that_changes_its_mind(page, running_shop):
    before = running_shop.available("laptop-1")
    buy(page, card="tok_late_rejection")

    eventually(lambda: "FAILED" in statuses(running_shop, page.url))
    assert "CONFIRMED" in statuses(running_shop, page.url)  # for so short that it may not be seen
    assert running_shop.available("laptop-1") == before
    page.reload()

    expect(on(page, "order-headline")).to_have_text("Your bank took the payment back")
    expect(on(page, "money")).to_contain_text("gives it back to you")


@pytest.mark.parametrize("card", ["tok_flaky", "tok_timeout"])
def test_a_bank_in_trouble_is_asked_again(page, running_shop, card):
    buy(page, card=card)
    expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)
    expect(on(page, "money")).to_contain_text("once")


def press_twice(page: Page):
    """So quickly that the second press can't fall on the next page."""
    on(page, "buy-now").evaluate("button => { button.click(); button.click(); }")


def test_two_quick_clicks_are_one_order(page, running_shop):
    sign_in(page, "user-2")
    before = running_shop.available("mouse-1")
    page.goto("/products/mouse-1")

    press_twice(page)  # this only leads to the checkout, however often it is pressed
    arrives(page, re.compile("/checkout/mouse-1"))
    say_where(page)
    for orders in (1, 2):  # by the checkout, and then in one press
        press_twice(page)
        arrives(page, ORDER)
        expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)
        assert running_shop.available("mouse-1") == before - orders
        page.goto("/products/mouse-1")


def test_back_and_again_is_still_one_order(page, running_shop):
    """The key is in the page: sending the same form twice, even without JavaScript, is one order."""
    buy(page, "mouse-1")
    page.goto("/products/mouse-1")
    form = page.locator("form[data-once]").first
    fields = dict(form.evaluate("form => [...new FormData(form)]"))
    replies = [page.request.post("/buy", form=fields, headers={"Referer": page.url}) for _ in range(2)]
    assert replies[0].url == replies[1].url
    assert ORDER.search(replies[0].url)


def test_reserve_now_pay_later_and_cancel(page, running_shop):
    before = running_shop.available("laptop-1")
    page.goto("/checkout/laptop-1")
    say_where(page)
    on(page, "reserve").click()
    expect(on(page, "countdown")).to_be_visible(timeout=DECIDED)
    assert running_shop.available("laptop-1") == before - 1
    first = page.url

    on(page, "pay-now").click()
    expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)

    page.goto("/checkout/laptop-1")
    expect(page.get_by_label("City")).to_have_value("Berlin")
    on(page, "reserve").click()
    expect(on(page, "countdown")).to_be_visible(timeout=DECIDED)
    assert page.url != first
    on(page, "cancel-order").click()
    on(page, "confirm-cancel").click()
    expect(on(page, "order-status")).to_have_text("Cancelled", timeout=DECIDED)
    expect(on(page, "money")).to_contain_text(re.compile("no money|nothing was taken", re.IGNORECASE))
    assert running_shop.available("laptop-1") == before - 1


def test_more_than_there_is(page, running_shop):
    before = running_shop.available("laptop-1")
    buy(page, quantity=before + 1)
    expect(on(page, "shortfalls")).to_contain_text(str(before), timeout=DECIDED)
    assert running_shop.available("laptop-1") == before


def test_another_persons_order_is_not_there(page, browser, running_shop):
    buy(page)
    address = page.url
    stranger = browser.new_context(base_url=running_shop.url).new_page()
    assert stranger.goto(address).status == 404
    stranger.context.close()


def test_my_orders(page):
    sign_in(page)
    buy(page)
    expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)
    on(page, "my-orders").click()
    expect(on(page, "order-row").first).to_contain_text("Confirmed")


def test_without_javascript(browser, running_shop):
    context = browser.new_context(java_script_enabled=False, base_url=running_shop.url)
    page = context.new_page()
    for _ in ("by the checkout", "in one press"):
        buy(page, "mouse-1", quantity=2)
        expect(page.locator("noscript meta[http-equiv=refresh], meta[http-equiv=refresh]")).to_have_count(1)
        expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)  # the page reloads itself
        expect(on(page, "order")).to_contain_text("€98.00")
    context.close()


def test_by_keyboard_alone(page):
    buy(page, "mouse-1")
    page.goto("/products/mouse-1")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.testid") == "buy-now":
            break
    page.keyboard.press("Enter")
    arrives(page, ORDER)
    expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)


@pytest.mark.parametrize("path", ["/", "/products/laptop-1", "/checkout/laptop-1", "/sign-in"])
def test_a_phone_shows_all_of_it(browser, running_shop, path):
    """Nothing is wider than the screen, and nothing is complained about in the console."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, base_url=running_shop.url)
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert complaints == []
    context.close()


def test_on_a_phone_the_press_is_on_the_second_screen(browser, running_shop):
    context = browser.new_context(viewport={"width": 390, "height": 844}, base_url=running_shop.url)
    page = context.new_page()
    page.goto("/checkout/laptop-1")
    press = on(page, "buy-now").bounding_box()
    assert press["y"] + press["height"] <= 2 * 844
    cards = on(page, "test-cards")
    expect(cards.get_by_text("The bank says no. No money moves.")).not_to_be_visible()
    cards.locator("summary").click()
    expect(cards.get_by_text("The bank says no. No money moves.")).to_be_visible()
    context.close()
