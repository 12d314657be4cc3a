"""A buyer whose bank wants them to confirm: there and back again, in a browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_buy_now import DECIDED, arrives, buy, on

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def go_to_the_bank(page: Page) -> str:
    """Buy with a card that has to be confirmed, and follow the order's page to the bank; return the order's address."""
    buy(page, card="tok_requires_action")
    order = page.url
    expect(on(page, "confirm-at-bank")).to_be_visible(timeout=DECIDED)
    on(page, "confirm-at-bank").click()
    arrives(page, re.compile(r"/3ds/[0-9a-f]{32}$"))
    expect(page.locator(".amount")).to_have_text("1,299.00 EUR")
    return order


def test_who_confirms_comes_back_to_a_confirmed_order(page, running_shop):
    before = running_shop.available("laptop-1")
    order = go_to_the_bank(page)
    page.get_by_role("button", name="Yes, pay").click()
    arrives(page, order)
    expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)
    expect(on(page, "money")).to_contain_text("€1,299.00 was taken from your card, once.")
    assert running_shop.available("laptop-1") == before - 1


def test_who_does_not_confirm_is_not_charged(page, running_shop):
    before = running_shop.available("laptop-1")
    order = go_to_the_bank(page)
    page.get_by_role("button", name="No, decline").click()
    arrives(page, order)
    expect(on(page, "stamp")).to_be_visible(timeout=DECIDED)
    expect(on(page, "money")).to_contain_text(re.compile("no money was taken|nothing was taken", re.IGNORECASE))
    assert running_shop.available("laptop-1") == before


def test_who_cancels_instead_can_not_confirm_any_more(page, running_shop):
    before = running_shop.available("laptop-1")
    order = go_to_the_bank(page)
    bank = page.url
    page.goto(order)
    on(page, "cancel-order").click()
    on(page, "confirm-cancel").click()
    expect(on(page, "stamp")).to_be_visible(timeout=DECIDED)
    page.goto(bank)
    expect(page.get_by_role("heading")).to_have_text("The shop has cancelled this payment. Nothing was taken.")
    expect(page.get_by_role("button")).to_have_count(0)
    assert running_shop.available("laptop-1") == before


@pytest.mark.parametrize(("card", "outcome"), [("tok_delayed_success", "CONFIRMED"), ("tok_delayed_decline", "FAILED")])
def test_a_bank_that_takes_its_time(page, running_shop, card, outcome):
    before = running_shop.available("laptop-1")
    buy(page, card=card)
    expect(on(page, "order-outcome")).to_have_attribute("data-outcome", outcome, timeout=DECIDED)
    assert running_shop.available("laptop-1") == before - (outcome == "CONFIRMED")


def test_the_banks_books_are_there_to_be_read(page, running_shop):
    buy(page)
    expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)
    page.goto(running_shop.sandbox_url)
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="CAPTURED", exact=True)).first
    expect(row).to_contain_text("1,299.00 EUR")
    row.get_by_role("link").click()
    expect(page.get_by_role("cell", name="CAPTURE", exact=True)).to_be_visible()
