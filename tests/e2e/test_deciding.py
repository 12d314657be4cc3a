"""What somebody who was woken up does in the admin, in a browser, against the whole running system."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.running import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PARK = """
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.runner import park
park(SagaInstance.objects.get(subject_id="{}", standby="pause:place_order/check_fraud").id, ZeroDivisionError("a bug"))
"""


def sign_in(page: Page) -> None:
    page.goto("/admin/login/?next=/admin/")
    page.fill("input[name=username]", "staff")
    page.fill("input[name=password]", "marketplace")
    page.click("button[type=submit]")
    expect(page.get_by_role("heading", name="Needs a person")).to_be_visible()


def standing_by(running_shop, order) -> bool:
    return [entry["status"] for entry in running_shop.saga(order)["history"]][-1:] == ["STANDING_BY"]


@pytest.mark.parametrize("viewport", [(1280, 900), (390, 844)], ids=["desk", "phone"])
def test_pause_see_what_waits_undo_one_and_let_the_others_go_on(page, running_shop, viewport):
    page.set_viewport_size({"width": viewport[0], "height": viewport[1]})
    before = running_shop.available("keyboard-1")
    sign_in(page)
    page.goto("/admin/sagas/sagainstance/standby/")
    page.get_by_text("Pause something …").click()
    page.get_by_label("What shall stand still?").select_option("place_order/check_fraud")
    page.get_by_label("Why?").fill("Strange orders tonight.")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator("td", has_text="the step check_fraud of place_order").first).to_be_visible()

    undone, kept = running_shop.post_orders("keyboard-1", 2)
    for order in (undone, kept):
        eventually(lambda order=order: standing_by(running_shop, order))
    result = running_shop.manage("shell", "-c", PARK.format(undone["id"]))
    assert result.returncode == 0, result.stderr

    page.goto("/admin/")
    page.get_by_role("link", name=undone["number"]).first.click()
    page.get_by_role("link", name="Compensate …").click()
    expect(page.get_by_text("Void the authorization of")).to_be_visible()
    expect(page.get_by_text("Put back 1 of keyboard-1.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport[0]
    page.get_by_label("Why?").fill("The buyer called.")
    page.get_by_role("button", name="Compensate").click()
    expect(page.get_by_text("on record, and on its way")).to_be_visible()
    expect(page.get_by_text(re.compile("staff: The buyer called."))).to_be_visible()
    assert running_shop.decided([undone])[0]["status"] == "CANCELLED"

    assert standing_by(running_shop, kept)
    page.goto("/admin/sagas/sagainstance/standby/")
    page.get_by_placeholder("Why may it go on?").fill("They were real.")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Nothing is paused.")).to_be_visible()
    assert running_shop.decided([kept])[0]["status"] == "CONFIRMED"
    assert running_shop.available("keyboard-1") == before - 1
