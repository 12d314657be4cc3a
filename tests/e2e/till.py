"""What a buyer does at the checkout of a shop that is paid by a provider's script; the provider is a stand-in.

No webhook is sent: what the buyer decides is seen because the page says that they have been there.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.test_buy_now import DECIDED, arrives, on, say_where
from tests.running import RunningShop

SKU = "laptop-1"
PRICE_MINOR = 129_900
REFUSED = "the server responded with a status of 400"


@contextmanager
def open_shop(folder: Path, **settings: str) -> Iterator[RunningShop]:
    """A shop with these settings, whose books agree in the end."""
    shop = RunningShop(
        folder, SAGA_RETRY_ATTEMPTS="20", SAGA_RETRY_DELAY_SECONDS="0.2", PAYMENT_TIMEOUT_SECONDS="5", **settings
    )
    shop.start()
    try:
        yield shop
        assert shop.audit() == ""
    finally:
        assert shop.stop() == 0


@contextmanager
def buyer(browser: Browser, shop: RunningShop, be_provider: Any, fake: Any) -> Iterator[Page]:
    """A browser before that shop, in which nothing may be complained about: no error, nothing that the policy bars.

    That the shop answers 400 to a form is no complaint.
    """
    context = browser.new_context(base_url=shop.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(DECIDED)
    be_provider(context, fake)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" and REFUSED not in m.text else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def press(button: Locator) -> None:
    """Press in a frame. One that has just appeared may miss the mouse: the browser has yet to learn where it is."""
    expect(button).to_be_visible()
    button.dispatch_event("click")


def check_out(page: Page) -> None:
    """Go from the product to the checkout, and say where it goes."""
    page.goto(f"/products/{SKU}")
    on(page, "buy-now").click()
    arrives(page, re.compile("/checkout/"))
    say_where(page)


def is_confirmed(page: Page) -> None:
    expect(on(page, "order-status")).to_have_text("Confirmed", timeout=DECIDED)
    expect(on(page, "money")).to_contain_text("€1,299.00 was taken")


def fits_a_phone(page: Page, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
