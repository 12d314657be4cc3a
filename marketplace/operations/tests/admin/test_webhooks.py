"""Webhooks in the admin: read by whoever may, looked into again by whoever may do that too, changed by nobody."""

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction
from django.urls import reverse

from fulfillment import scanning
from fulfillment.carriers.base import Scan as Said
from fulfillment.carriers.base import ScanKind
from fulfillment.models import CarrierEvent, Scan
from fulfillment.tests.warehouse import NOW, packed
from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from payments.inbox import processing, receiving
from payments.models import Observation, Payment, WebhookEvent
from payments.testing import signed_webhook
from payments.tests.cashier import HELD as HELD_REPLY
from payments.tests.cashier import hear, key_of, open_payment

pytestmark = pytest.mark.django_db

LIST = "admin:payments_webhookevent_changelist"


@pytest.fixture
def webhook(settings):
    """One that was taken in about a payment of ours, and is over."""
    settings.SANDBOX_WEBHOOK_SECRET = "whsec_YSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBhbmQgb25seSB0aGVpcnM="
    order = open_payment()
    hear("AUTHORIZE", order, HELD_REPLY)
    headers, body = signed_webhook(key_of(order, "AUTHORIZE"), "ch_1", event_id="evt_<b>")
    receiving.receive("sandbox", body=body, headers=headers)
    event = WebhookEvent.objects.get()
    processing.INBOX.done(event, "No news.", now=event.received_at)
    return event


def select(client, event):
    return client.post(reverse(LIST), {"action": "replay", "_selected_action": [str(event.pk)]}, follow=True)


def reader(client, *codenames):
    user, _ = User.objects.get_or_create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_webhookevent", *codenames]))
    client.force_login(user)
    return client


def test_news_that_are_stuck_are_tried_again_by_whoever_may(webhook, staff, client):
    now = database_now()
    payment = Payment.objects.get()
    row = Observation.objects.create(
        payment=payment, event_id="evt_2", kind="authorized", detail={"amount_minor": 1299}, occurred_at=now,
        created_at=now, status="PARKED", tries=9, last_error="VOID: Nobody answers.",
    )  # fmt: skip
    address = reverse("admin:payments_observation_changelist")
    page = staff.get(address).content.decode()
    assert "VOID: Nobody answers." in page
    asked = {"action": "try_again", "_selected_action": [str(row.pk)]}

    reader(client, "view_observation").post(address, asked)
    assert Observation.objects.get(pk=row.pk).status == "PARKED"

    reader(client, "view_observation", "replay_webhookevent").post(address, asked)
    found = Observation.objects.get(pk=row.pk)
    assert (found.status, found.due_at is not None) == ("NEW", True)


def test_the_list_says_what_came_of_each(webhook, staff):
    page = staff.get(reverse(LIST)).content.decode()
    assert "No news." in page
    assert "authorization.authorized" in page
    assert "<b>" not in page.partition("evt_")[2][:20]


def test_the_page_tells_all_about_it(webhook, staff):
    page = staff.get(reverse("admin:payments_webhookevent_change", args=[webhook.pk])).content.decode()
    assert "No news." in page
    assert "&quot;type&quot;: &quot;authorization.authorized&quot;" in page
    assert "/admin/payments/payment/" in page


@pytest.mark.parametrize("term", ["evt_<b>", "ch_1"])
def test_is_found_by_what_people_have_in_hand(webhook, staff, term):
    assert "No news." in staff.get(reverse(LIST), {"q": term}).content.decode()
    assert "No news." not in staff.get(reverse(LIST), {"q": "something else"}).content.decode()


def test_is_looked_into_again(webhook, staff):
    assert "One webhook is looked into again." in select(staff, webhook).content.decode()
    webhook.refresh_from_db()
    assert (webhook.status, webhook.tries, webhook.replayed_by) == ("RECEIVED", 0, "staff")
    assert webhook.due_at is not None


def test_not_by_who_may_only_look(webhook, client):
    select(reader(client), webhook)
    webhook.refresh_from_db()
    assert webhook.status == "DONE"


def test_by_who_may_do_that_too(webhook, client):
    select(reader(client, "replay_webhookevent"), webhook)
    webhook.refresh_from_db()
    assert (webhook.status, webhook.replayed_by) == ("RECEIVED", "reader")


def test_nothing_else_can_be_done_to_it(webhook, staff):
    before = WebhookEvent.objects.values().get()
    change = reverse("admin:payments_webhookevent_change", args=[webhook.pk])
    for path in (change, reverse("admin:payments_webhookevent_delete", args=[webhook.pk])):
        assert staff.post(path, {"status": "FAILED", "post": "yes"}).status_code == 403
    staff.post(reverse(LIST), {"action": "delete_selected", "_selected_action": [str(webhook.pk)], "post": "yes"})
    assert WebhookEvent.objects.values().get() == before


@pytest.mark.parametrize(
    ("codenames", "status"),
    [(["view_carrierevent"], "DONE"), (["view_carrierevent", "replay_carrierevent"], "RECEIVED")],
)
def test_a_carrier_s_webhook_is_found_by_its_parcel_and_looked_into_again_by_who_may(client, codenames, status):
    at = database_now()
    told = {"carrier": "sandbox", "payload": "{}", "occurred_at": at, "received_at": at, "given_up_at": at}
    done = {"status": "DONE", "processed_at": at, "outcome": "No news."}
    event = CarrierEvent.objects.create(event_id="evt_1", tracking_number="SB1", **told, **done)
    CarrierEvent.objects.create(event_id="evt_2", tracking_number="SB2", **told, **done)
    page, them = reverse("admin:fulfillment_carrierevent_changelist"), reader(client, *codenames)
    [found] = them.get(page, {"q": "SB1"}).context["cl"].result_list
    assert found == event
    them.post(page, {"action": "replay", "_selected_action": [str(event.pk)]})
    assert list(CarrierEvent.objects.order_by("id").values_list("status", flat=True)) == [status, "DONE"]


def test_scans_that_are_stuck_are_told_of_and_tried_again_by_who_may(client, staff):
    [parcel] = packed()
    with transaction.atomic():
        said = [Said("scan", ScanKind.IN_TRANSIT, NOW, place="Linz")]
        scanning.take_in([scanning.News(parcel.id, said)], now=NOW)
    dashboard, stuck = reverse("admin:index"), reverse("admin:fulfillment_scan_changelist")
    assert "Scans that are stuck, now" not in staff.get(dashboard).content.decode()
    assert parcel.number not in staff.get(stuck).content.decode()  # it only waits for its turn
    Scan.objects.update(tries=3, trouble="ZeroDivisionError: unforeseen", tell_again_at=NOW)
    assert "Scans that are stuck, now" in staff.get(dashboard).content.decode()
    page = staff.get(stuck).content.decode()
    assert parcel.number in page
    assert "ZeroDivisionError: unforeseen" in page

    pressed = {"action": "hurry", "_selected_action": [str(Scan.objects.get().pk)]}
    reader(client, "view_scan").post(stuck, pressed)
    assert Scan.objects.get().tell_again_at == NOW
    reader(client, "view_scan", "replay_carrierevent").post(stuck, pressed)
    assert Scan.objects.get().tell_again_at is None
