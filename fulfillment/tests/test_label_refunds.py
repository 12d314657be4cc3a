"""The money for a label that was given back: asked about until its carrier has decided, and a no is seen."""

import json
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from fulfillment import label_refunds, services, tasks
from fulfillment.carriers.base import Address
from fulfillment.inbox import processing, receiving
from fulfillment.models import Shipment
from fulfillment.selectors import Estimate
from fulfillment.tests.carriers.easypost import fake
from fulfillment.tests.warehouse import begun, packed, recorded
from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now

pytestmark = pytest.mark.django_db(transaction=True)

SERVICE = Estimate("easypost", "USPS:GroundAdvantage", 1, 3)
WHERE = Address("Ada Lovelace", "417 Montgomery Street", "", "94104", "San Francisco", "US")
DAY = timedelta(days=1)


@pytest.fixture
def easypost(settings):
    with fake.running() as server:
        settings.EASYPOST_API_KEY, settings.EASYPOST_API_BASE = server.api_key, server.url
        settings.EASYPOST_WEBHOOK_SECRET = fake.SECRET
        settings.CARRIERS_READY = ["easypost"]
        yield server


@pytest.fixture
def given_back(easypost):
    """A parcel whose label was bought, and given back unused; its carrier decides later about the money."""
    [view] = packed(estimate=SERVICE, to=WHERE)
    for operation, key in (("BUY", "label"), ("VOID", "label:undo")):
        [call] = begun(operation, [view], key=key)
        recorded((call, services.send(call)))
    return parcel(view)


def parcel(view):
    return Shipment.objects.get(pk=view.id)


def their(easypost, parcel):
    return easypost.named(parcel.label_key)


def look(after=DAY):
    return label_refunds.look_due(now=database_now() + after)


def test_a_carrier_that_refuses_the_money_later_is_heard(easypost, given_back, caplog):
    assert (given_back.label_refund, given_back.label_refund_at is not None) == ("SUBMITTED", True)
    assert (look(timedelta()), look()) == (0, 0)  # not yet due; and still undecided
    assert look() == 0  # it is asked once a day
    their(easypost, given_back)["refund_status"] = "rejected"
    assert look(2 * DAY) == 1
    told = parcel(given_back)
    assert (told.label_refund, told.label_refund_look_at) == ("REJECTED", None)
    assert [one.pk for one in label_refunds.refused(since=given_back.label_refund_at)] == [told.pk]
    assert "label_refund_rejected" in caplog.text
    assert look(9 * DAY) == 0


def test_money_that_is_back_is_noted_too(easypost, given_back):
    their(easypost, given_back)["refund_status"] = "refunded"
    assert look() == 1
    assert parcel(given_back).label_refund == "REFUNDED"
    assert not label_refunds.refused(since=given_back.label_refund_at).exists()


def test_a_carrier_that_does_not_answer_is_asked_again_in_an_hour(easypost, given_back):
    easypost.outage = fake.Problem(500, "INTERNAL", "Sorry.")
    assert look() == 0
    easypost.outage = None
    their(easypost, given_back)["refund_status"] = "rejected"
    assert look(DAY + timedelta(minutes=30)) == 0
    assert look(DAY + timedelta(minutes=61)) == 1


def test_a_webhook_about_it_has_the_carrier_asked_at_once(easypost, given_back):
    about = their(easypost, given_back)
    about["refund_status"] = "refunded"
    event = {"id": "evt_r", "object": "Event", "description": "refund.successful", "created_at": "2026-05-20T12:00:00Z"}
    event["result"] = {"object": "Refund", "id": "rfnd_1", "shipment_id": about["id"], "status": "refunded"}
    body = json.dumps(event).encode()
    receiving.receive("easypost", body=body, headers={"X-Hmac-Signature": fake.signature(body)})
    assert processing.process_due() == 1
    assert tasks.look_at_label_refunds() == 1
    assert parcel(given_back).label_refund == "REFUNDED"


def test_the_answer_to_a_void_that_was_lost_is_found_with_its_refund(easypost):
    [view] = packed(estimate=SERVICE, to=WHERE)
    [buy] = begun("BUY", [view], key="label")
    recorded((buy, services.send(buy)))
    [void] = begun("VOID", [view], key="label:undo")
    easypost.lose_answers(1, of="/refund")
    assert services.send(void).outcome == "UNKNOWN"
    recorded((void, services.probe(void)))
    assert parcel(view).label_refund == "SUBMITTED"


def test_staff_see_it_with_the_parcel_on_the_list_and_on_the_first_page(easypost, given_back):
    staff = Client()
    staff.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    dashboard, page = reverse("admin:index"), reverse("admin:fulfillment_shipment_change", args=[given_back.pk])
    rejected = f"{reverse('admin:fulfillment_shipment_changelist')}?label_refund__exact=REJECTED"
    assert "has not decided about the money yet" in staff.get(page).content.decode()
    assert "Labels that were not refunded" not in staff.get(dashboard).content.decode()
    assert given_back.number not in staff.get(rejected).content.decode()

    their(easypost, given_back)["refund_status"] = "rejected"
    assert look() == 1

    assert "Refused by the carrier: ask there for the money" in staff.get(page).content.decode()
    assert "Labels that were not refunded" in staff.get(dashboard).content.decode()
    assert given_back.number in staff.get(rejected).content.decode()


def test_what_is_due_is_found_by_its_index(given_back):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # which the planner would take, once it knows how small it is
        due = Shipment.objects.filter(label_refund="SUBMITTED", label_refund_look_at__lte=database_now())
        assert "shipments_label_refund_due" in due.order_by("label_refund_look_at")[:20].explain()
