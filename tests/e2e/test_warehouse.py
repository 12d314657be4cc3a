"""Packing in a real browser: a scanner types faster than the shop answers, and a batch's labels come by themselves."""

from uuid import uuid4

import pypdfium2
import pytest
from playwright.sync_api import Page, expect

from marketplace.operations.demo import PASSWORD
from tests.running import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

HAS_THE_FOCUS = "document.activeElement?.name === 'names'"  # whether or not the window itself is in front


@pytest.fixture
def sold(running_shop):
    """Four confirmed orders whose parcels wait to be packed."""
    orders = running_shop.decided([order(running_shop) for _ in range(4)])
    waiting = {order["number"] for order in orders}
    token = signed_in(running_shop)
    eventually(lambda: waiting <= set(to_pack(running_shop, token)))
    return sorted(waiting)


def order(shop):
    where = {"name": "Ada", "line1": "Hauptstr. 1", "postalCode": "10115", "city": "Berlin", "country": "DE"}
    body = {"items": [{"sku": "lamp-1", "quantity": 1}], "paymentMethod": "tok_visa", "shippingAddress": where}
    return shop.http.post("/api/orders", json=body, headers={"Idempotency-Key": f"e2e-{uuid4()}"}).json()


def signed_in(shop):
    login = shop.http.post("/api/token", json={"username": "warehouse", "password": PASSWORD}).raise_for_status()
    return {"Authorization": f"Token {login.json()['token']}"}


def to_pack(shop, token):
    page = shop.http.get("/api/fulfillment/to-pack?limit=100", headers=token).raise_for_status().json()
    return [parcel["number"] for parcel in page["results"]]


def test_scanned_packed_and_printed(running_shop, sold, page: Page):
    page.goto("/admin/login/?next=/admin/fulfillment/batch/pack/")
    page.get_by_label("Username").fill("warehouse")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    field = page.get_by_label("Scan or type what is packed")
    page.wait_for_function(HAS_THE_FOCUS)
    counted = page.locator("[data-counted]").first
    before = int(counted.inner_text())

    for number in (sold[0], sold[1].lower().removeprefix("m-"), "no-such-order", sold[0]):
        page.evaluate("document.activeElement.blur()")  # somebody has clicked beside it
        page.keyboard.type(number)
        page.keyboard.press("Enter")

    answers = page.get_by_role("status").locator("p")
    expect(answers).to_have_count(4)
    expect(answers.nth(0)).to_contain_text(f"{sold[0]}: Packed already")
    expect(answers.nth(1)).to_contain_text("no-such-order: Refused")
    expect(answers.nth(2)).to_contain_text(f"{sold[1]}: Packed")
    expect(answers.nth(3)).to_contain_text(f"{sold[0]}: Packed")
    for number in sold[:2]:
        expect(page.get_by_label(number)).to_have_count(0)
    expect(counted).to_have_text(str(before - 2))
    page.wait_for_function(HAS_THE_FOCUS)
    expect(field).to_have_value("")

    for number in sold[2:]:
        page.get_by_label(number).check()
    page.get_by_role("button", name="The ticked ones are packed").click()
    expect(page.get_by_text("2 labels, all there")).to_be_visible()
    assert not set(sold) & set(to_pack(running_shop, signed_in(running_shop)))

    with page.context.expect_event("request", lambda asked: asked.url.endswith("/labels/")) as asked:
        page.get_by_role("button", name="Print 2 labels").click()
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    form, headers = {"csrfmiddlewaretoken": cookies["csrftoken"]}, {"Referer": running_shop.url}
    printed = page.context.request.post(asked.value.url, form=form, headers=headers)
    assert len(pypdfium2.PdfDocument(printed.body())) == 2
    page.reload()
    expect(page.get_by_text("2 labelled, 2 of them printed")).to_be_visible()
