"""Returns in the admin: approved or rejected with a reason, received line by line, by who may."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from fulfillment.testing import carrier_server, sandbox_carrier  # noqa: F401
from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from orders.returns import selectors, services
from tests.shop import delivered

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = {"name": "Ada", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}


@pytest.fixture
def wish(shop, sandbox_carrier):  # noqa: F811
    """A return that was asked for: two laptops."""
    shop.stocked("laptop-9", 2)
    order = delivered(shop, shop.order("laptop-9", 2, address=ADDRESS), sandbox_carrier)
    return services.request(order.id, lines={"laptop-9": 2}, reason="Too loud.", actor="user-1", now=database_now())


def address(wish, name):
    if name in ("approve", "reject"):
        return reverse("admin:orders_return_decide", args=[wish.id, name])
    return reverse(f"admin:orders_return_{name}", args=[wish.id])


def text(response):
    return response.content.decode()


def test_approved_received_refunded(wish, staff, shop):
    listed = text(staff.get(reverse("admin:orders_return_changelist")))
    assert wish.number in listed
    assert "Too loud." in listed
    page = text(staff.get(address(wish, "change")))
    assert "Somebody has to decide" in page
    assert address(wish, "receive") not in page
    assert "What came back?" in text(staff.get(address(wish, "receive")))

    assert staff.post(address(wish, "approve"), {"reason": ""}).status_code == 200
    assert selectors.get(wish.id).verdict == ""
    assert "Approved, on record" in text(staff.post(address(wish, "approve"), {"reason": "Fine."}, follow=True))
    again = text(staff.post(address(wish, "reject"), {"reason": "No."}, follow=True))
    assert "Nothing was done by you" in again
    shop.work()
    assert address(wish, "receive") in text(staff.get(address(wish, "change")))

    too_many = text(staff.post(address(wish, "receive"), {"shelf_0": 2, "lost_0": 1, "reason": "As new."}))
    assert "Together at most 2." in too_many
    staff.post(address(wish, "receive"), {"shelf_0": 1, "lost_0": 1, "reason": "One is broken."})
    shop.work()
    seen = selectors.get(wish.id)
    assert (seen.status, seen.refunded_minor, seen.receipt_note) == ("REFUNDED", 2000, "One is broken.")
    assert shop.levels("laptop-9") == (1, 0)
    assert "went back to the buyer" in text(staff.get(address(wish, "change")))
    assert wish.number in text(staff.get(reverse("admin:orders_order_change", args=[wish.order_id])))
    assert wish.number not in text(staff.get(reverse("admin:orders_return_changelist")))
    assert wish.number in text(staff.get(reverse("admin:orders_return_changelist"), {"state": "all"}))
    assert wish.number in text(staff.get(reverse("admin:orders_return_changelist"), {"state": "all", "q": wish.number}))
    assert str(wish.saga_id) in text(staff.get(reverse("admin:payments_refund_change", args=[wish.id])))


def test_only_by_who_may(wish):
    user = User.objects.create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_return"))
    browser = Client()
    browser.force_login(user)
    page = text(browser.get(address(wish, "change")))
    assert wish.number in page
    for name in ("approve", "reject", "receive"):
        assert address(wish, name) not in page
        assert browser.get(address(wish, name)).status_code == 403
        assert browser.post(address(wish, name), {"reason": "Mine.", "shelf_0": 2, "lost_0": 0}).status_code == 403
    assert selectors.get(wish.id).verdict == ""
