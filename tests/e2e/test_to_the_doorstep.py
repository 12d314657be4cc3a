"""From Buy Now to the doorstep: buyer, warehouse, carrier and post, each with a browser of their own.

What they see is kept as pictures beside the test's other files, at a desk and on a phone: `pytest --basetemp=…` says
where.
"""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from marketplace.paper.testing import pages
from tests.e2e.test_buy_now import ORDER, arrives, on, say_where, standing_still
from tests.e2e.test_deciding import sign_in
from tests.running import RunningShop, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FOLLOWED = 90_000  # milliseconds: the page looks every ten seconds, and the machine may be busy
MAILS = ["Your order #", "Your order # is confirmed", "Your order # is on the way", "Your order # has arrived"]


class Camera:
    """Takes pictures of pages at a desk and on a phone, and sees that none of them is wider than the phone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, page: Page, name: str) -> None:
        for where, size in (("phone", PHONE), ("desk", DESK)):
            page.set_viewport_size(size)
            page.screenshot(path=self._folder / f"{name}-{where}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], f"{name} on a {where}"

    def keep(self, pdf: bytes, name: str) -> str:
        """Keep the first page of `pdf` as a picture; return what can be read and scanned on it."""
        first = pages(pdf)[0]
        first.picture.save(self._folder / f"{name}.png")
        return " ".join([*first.lines, *(text for _, text in first.codes)])


@pytest.fixture
def camera(tmp_path):
    return Camera(tmp_path)


@pytest.fixture
def somebody(browser: Browser, running_shop: RunningShop):
    """Open a browser for one more person."""
    contexts = []

    def comes(url: str = "") -> Page:
        contexts.append(browser.new_context(base_url=url or running_shop.url, viewport=DESK))
        contexts[-1].set_default_timeout(60_000)
        return contexts[-1].new_page()

    yield comes
    for context in contexts:
        context.close()


def order_something(buyer: Page) -> str:
    """Press Buy Now, and at the checkout, where it is asked where it goes, once more; return the order's number."""
    buyer.goto("/products/keyboard-1")
    on(buyer, "buy-now").click()
    arrives(buyer, re.compile("/checkout/keyboard-1"))
    say_where(buyer)
    buyer.get_by_label("E-mail").fill("ada@example.org")
    on(buyer, "buy-now").click()
    arrives(buyer, ORDER)
    number = buyer.locator("[data-number]").get_attribute("data-number")
    assert number
    return number


def pack(staff: Page, number: str, camera: Camera) -> None:
    """Scan the slip at the packing table: a scanner types, and presses Enter."""
    staff.goto("/admin/")
    staff.get_by_role("link", name="Packing").first.click()
    expect(staff.locator(f"#o-{number}")).to_be_visible()
    camera.take(staff, "packing-before")
    staff.locator("input[name=names]").fill(number)
    staff.keyboard.press("Enter")
    expect(staff.locator("[data-answers]")).to_contain_text(number)
    camera.take(staff, "packing-after")


def happens(carrier: Page, button: str) -> None:
    """Have the carrier's own people do something with the parcel whose page is open."""
    with carrier.expect_navigation():  # or the next press would come before this one is sent
        carrier.get_by_role("button", name=button).click()


def mails(staff: Page, number: str) -> list[str]:
    """The subjects in the mailbox about an order, the oldest first."""
    staff.goto(f"/admin/mail/collectedmail/?q={number}")
    subjects = staff.locator("#result_list .field-subject, #result_list td:has(a[href*=collectedmail])")
    found = [text.strip() for text in subjects.all_inner_texts()]
    return [text.replace(number, "#") for text in reversed(found) if number in text]


def test_an_order_goes_from_buy_now_to_the_doorstep(running_shop, somebody, camera):
    buyer, staff, carrier = somebody(), somebody(), somebody(running_shop.carrier_url)
    sign_in(staff)

    with standing_still(running_shop, "place_order/check_fraud"):  # or one mail might overtake the other
        number = order_something(buyer)
        eventually(lambda: mails(staff, number) == MAILS[:1])
    expect(on(buyer, "order-status")).to_have_text("Confirmed", timeout=FOLLOWED)
    expect(on(buyer, "expected")).to_contain_text("Expected between")
    camera.take(buyer, "buyer-1-confirmed")
    with buyer.expect_popup() as opened:  # a PDF is a download here, and shown elsewhere: ask for it as it is linked
        on(buyer, "invoice").click()
    opened.value.close()
    invoice = buyer.request.get(str(on(buyer, "invoice").get_attribute("href")))
    assert "Ada Lovelace" in camera.keep(invoice.body(), "invoice")
    # The mail of the confirmation would be untrue once it is shipped.
    eventually(lambda: mails(staff, number) == MAILS[:2])

    pack(staff, number, camera)
    expect(on(buyer, "order-status")).to_have_text("Shipped", timeout=FOLLOWED)
    camera.take(buyer, "buyer-2-shipped")
    tracking = on(buyer, "tracking").inner_text()
    carrier.goto("/")
    carrier.get_by_role("link", name=number).click()
    expect(carrier.get_by_text(tracking)).to_be_visible()

    happens(carrier, "Pick it up")
    expect(on(buyer, "order-status")).to_have_text("On the way", timeout=FOLLOWED)
    expect(on(buyer, "scans")).to_contain_text("We have picked it up.")
    eventually(lambda: mails(staff, number) == MAILS[:3])
    camera.take(buyer, "buyer-3-on-the-way")
    happens(carrier, "Tell the last scan again")  # once more, by a webhook of its own
    happens(carrier, "Nobody at home")
    expect(on(buyer, "scans")).to_contain_text("Nobody was at home.", timeout=FOLLOWED)
    expect(on(buyer, "order-headline")).to_have_text("Held up on the way")
    camera.take(buyer, "buyer-4-held-up")
    happens(carrier, "Put it into the van")
    happens(carrier, "Hand it over")
    expect(on(buyer, "order-status")).to_have_text("Delivered", timeout=FOLLOWED)
    expect(on(buyer, "scans").locator("li")).to_have_count(4)
    assert on(buyer, "order").get_attribute("hx-get") is None  # there is nothing more to look for
    camera.take(buyer, "buyer-5-delivered")

    eventually(lambda: mails(staff, number) == MAILS)
    look_at_the_papers(staff, number, tracking, camera)
    camera.take(carrier, "carrier")
    carrier.goto(f"/track/{tracking}")
    camera.take(carrier, "tracking")


def look_at_the_papers(staff: Page, number: str, tracking: str, camera: Camera) -> None:
    """See what staff see of it in the end: the mails, the label, the slip, the order, the shipment."""
    for mail, name in zip(MAILS, ("received", "confirmed", "on-the-way", "delivered"), strict=True):
        staff.goto(f"/admin/mail/collectedmail/?q={number}")
        staff.get_by_role("link", name=mail.replace("#", number), exact=True).click()
        expect(staff.locator("iframe.ops-mail-frame")).to_be_visible()
        enclosed = staff.locator('a[href*="/attachments/"]')
        expect(enclosed).to_have_count(1 if name == "confirmed" else 0)
        camera.take(staff, f"mail-{name}")
        if name == "on-the-way":
            frame = staff.frame_locator("iframe.ops-mail-frame")
            expect(frame.locator(f'a[href*="/track/{tracking}"]').first).to_be_visible()
            expect(frame.get_by_text(f"{tracking} (Sandbox Parcel)")).to_be_visible()
        if name == "confirmed":
            attached = staff.request.get(str(enclosed.get_attribute("href")))
            assert number in camera.keep(attached.body(), "mail-confirmed-invoice")

    staff.goto(f"/admin/fulfillment/shipment/?q={number}")
    staff.locator("#result_list a[href*='/fulfillment/shipment/']").first.click()
    arrives(staff, re.compile("/shipment/[0-9a-f-]{36}/"))
    camera.take(staff, "shipment")
    for paper, said in (("Label", tracking), ("Packing slip", number)):
        linked = staff.get_by_role("link", name=paper, exact=True).get_attribute("href")
        assert said in camera.keep(staff.request.get(str(linked)).body(), paper)
    staff.locator("a[href*='/orders/order/']", has_text=number).first.click()
    arrives(staff, re.compile("/orders/order/"))
    expect(staff.get_by_text("It was handed over at the door.").first).to_be_visible()
    camera.take(staff, "order")
