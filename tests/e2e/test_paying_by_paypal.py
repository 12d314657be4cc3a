"""PayPal's buttons, in a browser, before the whole running system."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from payments.tests.gateways.paypal import fake as paypal
from tests.e2e.providers import be_paypal
from tests.e2e.test_buy_now import DECIDED, ORDER, arrives, on
from tests.e2e.till import SKU, buyer, check_out, fits_a_phone, is_confirmed, open_shop, press

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def fake():
    with paypal.running() as fake:
        yield fake


@pytest.fixture(scope="module")
def shop(fake, tmp_path_factory):
    keys = {"PAYPAL_CLIENT_ID": "test", "PAYPAL_CLIENT_SECRET": "secret", "PAYPAL_WEBHOOK_ID": "WH-1"}
    settings = {"PAYMENT_GATEWAY": "paypal", "PAYPAL_API_BASE": fake.url, **keys}
    with open_shop(tmp_path_factory.mktemp("paypal"), **settings) as shop:
        yield shop


@pytest.fixture
def page(browser, shop, fake):
    with buyer(browser, shop, be_paypal, fake) as page:
        yield page


def press_paypal(page: Page) -> Page:
    """Press PayPal's button, once it has taken the place of ours; return its window."""
    expect(page.locator("[data-testid=buy-now], [data-testid=pay-now], [data-testid=confirm-at-bank]")).to_be_hidden()
    with page.expect_popup(timeout=DECIDED) as popup:
        press(page.frame_locator("[data-testid=paypal-buttons] iframe").get_by_role("button"))
    return popup.value


def agree(page: Page) -> None:
    press_paypal(page).get_by_role("button", name="Agree and pay").click(timeout=DECIDED)


def last_order(fake):
    return list(fake.orders.values())[-1]


def test_who_agrees_in_paypals_window_has_bought(page, shop, fake):
    before = shop.available(SKU)
    check_out(page)
    agree(page)
    arrives(page, ORDER)
    is_confirmed(page)
    (taken,) = last_order(fake)["purchase_units"][0]["payments"]["captures"]
    assert taken["amount"] == {"currency_code": "EUR", "value": "1299.00"}
    assert shop.available(SKU) == before - 1


def test_a_window_that_was_closed_can_be_opened_again(page, fake):
    check_out(page)
    window = press_paypal(page)
    window.get_by_role("button", name="Cancel").wait_for(timeout=DECIDED)
    window.close()
    arrives(page, ORDER)
    expect(on(page, "order-headline")).to_have_text("Please confirm with PayPal", timeout=DECIDED)
    orders = len(fake.orders)
    agree(page)
    is_confirmed(page)
    assert len(fake.orders) == orders


def test_who_closes_the_window_and_cancels_can_not_be_charged(page, shop, fake):
    before = shop.available(SKU)
    check_out(page)
    window = press_paypal(page)
    window.get_by_role("button", name="Cancel").click(timeout=DECIDED)
    arrives(page, ORDER)
    on(page, "cancel-order").click(timeout=DECIDED)
    on(page, "confirm-cancel").click()
    expect(on(page, "stamp")).to_have_text("Cancelled", timeout=DECIDED)
    assert last_order(fake)["purchase_units"][0]["custom_id"].startswith("void!")
    assert last_order(fake)["purchase_units"][0]["payments"] == {}
    assert shop.available(SKU) == before


def test_a_source_of_money_that_paypal_declines(page, shop, fake):
    before = shop.available(SKU)
    check_out(page)
    window = press_paypal(page)
    window.get_by_role("button", name="Agree and pay").wait_for(timeout=DECIDED)
    fake.declines.add(last_order(fake)["id"])
    window.get_by_role("button", name="Agree and pay").click()
    arrives(page, ORDER)
    expect(on(page, "stamp")).to_have_text("Not charged", timeout=DECIDED)
    assert last_order(fake)["purchase_units"][0]["payments"] == {}
    assert shop.available(SKU) == before


def test_an_unfinished_form_opens_no_window_for_long(page, fake):
    orders = len(fake.orders)
    check_out(page)
    page.get_by_label("City").fill("")
    window = press_paypal(page)
    if not window.is_closed():
        window.wait_for_event("close")
    assert page.evaluate("document.activeElement.name") == "city"
    assert len(fake.orders) == orders


def test_who_reserves_pays_with_paypal_on_the_orders_page(page, fake):
    orders = len(fake.orders)
    check_out(page)
    on(page, "reserve").click()
    arrives(page, ORDER)
    expect(on(page, "countdown")).to_be_visible(timeout=DECIDED)
    assert len(fake.orders) == orders
    agree(page)
    is_confirmed(page)
    assert len(fake.orders) == orders + 1


def test_without_paypals_script_the_buyer_goes_to_its_page_and_comes_back(page, fake):
    page.context.route("https://www.paypal.com/**", lambda route: route.fulfill(status=204))
    check_out(page)
    on(page, "buy-now").click()
    arrives(page, ORDER)
    order = page.url

    def be_the_page(route):
        token = parse_qs(urlsplit(route.request.url).query)["token"][0]
        fake.approve(token)
        route.fulfill(status=302, headers={"Location": f"{order}?token={token}&PayerID=PAYER1"})

    page.context.route(f"{fake.url}/checkoutnow**", be_the_page)
    on(page, "confirm-at-bank").click(timeout=DECIDED)
    is_confirmed(page)


@pytest.mark.parametrize("path", [f"/products/{SKU}", f"/checkout/{SKU}"])
def test_a_phone_shows_all_of_it(page, path):
    fits_a_phone(page, path)
