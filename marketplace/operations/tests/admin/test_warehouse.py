"""The warehouse's screens: what is fetched, packed, refused, taken back and printed, and who may."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from fulfillment.models import Batch, Shipment
from fulfillment.testing import carrier_server, sandbox_carrier  # noqa: F401
from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from marketplace.paper.testing import pages
from marketplace.sagas import selectors as sagas
from marketplace.sagas.models import SagaInstance
from orders import selectors, services

pytestmark = pytest.mark.django_db(transaction=True)

WHERE = {"name": "Ada", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}
PICK, PACK, LABELS, CANNOT = (f"admin:fulfillment_batch_{name}" for name in ("pick", "pack", "labels", "cannot_ship"))
NO_ROWS = {f"{rows}-{what}": "0" for rows in ("lines", "scans", "calls") for what in ("TOTAL_FORMS", "INITIAL_FORMS")}


@pytest.fixture
def wanda(db):
    """A browser of somebody who packs, and may do nothing else."""
    user = User.objects.create(username="wanda", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["pack_shipment", "view_shipment"]))
    browser = Client()
    browser.force_login(user)
    return browser


@pytest.fixture
def buy(shop, sandbox_carrier):  # noqa: F811
    """Orders of so many lamps each, confirmed and planned."""
    shop.stocked("lamp", 50)

    def bought(*quantities, postal_code="10115"):
        where = {**WHERE, "postal_code": postal_code}
        orders = [shop.order_lines([("lamp", quantity)], address=where) for quantity in quantities]
        shop.work()
        return orders

    return bought


def text(reply):
    assert reply.status_code == 200, reply
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", reply.content.decode()))


def scan(browser, *names):
    return browser.post(reverse(PACK), {"names": " ".join(names)}, headers={"X-Scanned": "yes"})


def batch_page(browser, batch):
    return text(browser.get(reverse("admin:fulfillment_batch_change", args=[batch.pk])))


def status(order):
    return selectors.order(order.id).status


def test_from_the_pick_list_to_the_labels(shop, buy, wanda):
    orders = buy(1, 2, 3)
    shown = wanda.get(reverse(PICK), {"size": "20"})
    assert "Fetch 6 units for 3 orders" in text(shown)
    late = buy(1)[0]

    made = wanda.post(reverse(PICK), {"shown": shown.context["shown"]}, follow=True)

    batch = Batch.objects.get()
    assert "3 of 3 still to be packed" in text(made)
    assert late.number not in text(made)
    assert "Fetch 1 unit for 1 order" in text(wanda.get(reverse(PICK)))
    assert "Fetch 7 units for 4 orders" in text(wanda.get(reverse(PICK), {"in_hand": "on"}))
    slips = wanda.get(reverse("admin:fulfillment_batch_slips_of", args=[batch.pk]))
    assert sorted(page.codes[0][1] for page in pages(slips.content)) == [order.number for order in orders]

    packed = text(wanda.post(reverse("admin:fulfillment_batch_packed", args=[batch.pk]), follow=True))
    assert "Packed: 3." in packed
    assert "Labels are being bought: 0 of 3" in packed
    shop.work()
    progress = reverse("admin:fulfillment_batch_progress", args=[batch.pk])
    polled = wanda.get(progress)
    assert "3 labels, all there" in text(polled)
    assert "hx-get" not in polled.content.decode()

    assert "3 labels not printed yet" in text(wanda.get(reverse(LABELS)))
    printed = wanda.post(reverse("admin:fulfillment_batch_labels_of", args=[batch.pk]))
    codes = [{code for _, code in page.codes} for page in pages(printed.content)]
    parcels = [Shipment.objects.get(pk=shipment_id) for shipment_id in batch.shipment_ids]
    assert [parcel.tracking_number in found for parcel, found in zip(parcels, codes, strict=True)] == [True] * 3
    assert "Every label is printed" in text(wanda.get(reverse(LABELS)))
    batch.refresh_from_db()
    assert (batch.made_by, batch.printed_by) == ("wanda", "wanda")
    assert [status(order) for order in orders] == ["SHIPPED"] * 3


def test_who_prints_what_is_new_while_somebody_does_is_told_so(shop, buy, wanda):
    orders = buy(1, 1)
    services.packed([order.id for order in orders], who="wanda", now=database_now())
    shop.work()
    Shipment.objects.update(label_printing_at=database_now())
    told = text(wanda.post(reverse(LABELS), {"new": ""}, follow=True))
    assert "Somebody else is printing these labels at this moment. Nothing was printed twice." in told
    assert not Batch.objects.exists()
    Shipment.objects.update(label_printing_at=None)
    assert len(pages(wanda.post(reverse(LABELS), {"new": ""}).content)) == 2
    assert "There is no label to print" in text(wanda.post(reverse(LABELS), {"new": ""}, follow=True))


def test_a_scan_is_answered_on_the_spot(shop, buy, wanda):
    order, cancelled = buy(1, 1)
    services.cancel(cancelled.id, actor="user-1", now=database_now())

    assert f"{order.number}: Packed" in text(scan(wanda, order.number.lower()))
    assert f"{order.number}: Packed already Was packed already, by wanda" in text(scan(wanda, order.number))
    assert f"{cancelled.number}: Refused Don&#x27;t send it" in text(scan(wanda, cancelled.number))
    assert "12345: Refused There is no such order" in text(scan(wanda, "12345"))
    assert "Not understood" in text(scan(wanda, "x" * 65))
    assert "<script>" not in scan(wanda, "<script>").content.decode()
    shop.work()
    assert (status(order), status(cancelled)) == ("SHIPPED", "CANCELLED")
    assert not Batch.objects.exists()
    by_hand = text(wanda.post(reverse(PACK), {"names": order.number}))
    assert "Packed already" in by_hand


def test_several_at_once_are_a_batch_with_what_was_refused(shop, buy, wanda):
    first, second, cancelled = buy(1, 1, 1)
    services.cancel(cancelled.id, actor="user-1", now=database_now())

    chosen = {"chosen": "", "order": [first.number, second.number, cancelled.number]}
    page = text(wanda.post(reverse(PACK), chosen, follow=True))

    assert "Packed: 2. Refused: 1." in page
    assert f"{cancelled.number} Don&#x27;t send it" in page
    assert len(Batch.objects.get().shipment_ids) == 2
    shop.work()
    assert [status(one) for one in (first, second, cancelled)] == ["SHIPPED", "SHIPPED", "CANCELLED"]
    too_many = text(wanda.post(reverse(PACK), {"names": " ".join(f"M-{n}" for n in range(1001))}))
    assert "These are 1001; 1000 at once are the most." in too_many


def test_a_label_that_can_not_be_bought_is_shown_with_its_order(shop, buy, wanda, staff):
    good, *_ = buy(1)
    bad, *_ = buy(1, postal_code="00000")
    wanda.post(reverse(PACK), {"names": f"{good.number}\n{bad.number}"})
    batch = Batch.objects.get()
    shop.work()

    page = batch_page(wanda, batch)
    assert "1 of 2 have their label; 1 needs a person" in page
    assert f"{bad.number} : The carrier refuses the label" in page
    saga = SagaInstance.objects.get(subject_id=bad.id, name="fulfill_order")
    link = reverse("admin:sagas_sagainstance_change", args=[saga.pk])
    address = reverse("admin:fulfillment_batch_progress", args=[batch.pk])
    assert link in staff.get(address).content.decode()
    assert link not in wanda.get(address).content.decode()  # who may not see it
    only = wanda.post(reverse("admin:fulfillment_batch_labels_of", args=[batch.pk]))
    assert len(pages(only.content)) == 1


def test_a_refused_label_leads_to_the_address_for_those_who_may_correct_it(shop, buy, wanda, staff):
    bad, *_ = buy(1, postal_code="00000")
    wanda.post(reverse(PACK), {"names": bad.number})
    shop.work()
    page = reverse("admin:orders_order_change", args=[bad.id])
    said = text(staff.get(page))
    assert "Correct the shipment's address, and it is asked again by itself; or have it undone." in unescape(said)
    assert "Decide about it Correct the address" in said
    assert "00000 Berlin, DE · Correct it" in said
    parcel = Shipment.objects.get(reference_id=bad.id)
    staff.post(reverse("admin:fulfillment_shipment_change", args=[parcel.pk]), {**WHERE, **NO_ROWS})
    shop.work()
    assert "Correct" not in text(staff.get(page)).partition("Timeline")[0]


@pytest.mark.parametrize("packed_first", [False, True])
def test_staff_fill_in_the_address_that_was_left_out_and_the_label_is_bought(shop, buy, wanda, staff, packed_first):
    order = shop.order("lamp")
    shop.work()
    parcel = Shipment.objects.get(reference_id=order.id)
    address = reverse("admin:fulfillment_shipment_change", args=[parcel.pk])
    assert "No address yet" in text(wanda.get(reverse(PACK)))
    if packed_first:
        scan(wanda, order.number)
        shop.work()
        assert "The address lacks its name." in text(staff.get(reverse("admin:orders_order_change", args=[order.id])))
    about = staff.get(reverse("admin:orders_order_change", args=[order.id]))
    assert "To No address : no carrier sells a label for it like that. Fill it in" in text(about)
    assert f'<a href="{address}">Fill it in</a>' in about.content.decode()
    assert "No address" in text(staff.get(reverse("admin:fulfillment_shipment_changelist")))
    assert "No address: no carrier sells a label for it like that. Fill it in, and save." in text(staff.get(address))

    wrong = text(staff.post(address, {**WHERE, "country": "D1", **NO_ROWS}))
    assert wrong.count("Two letters, such as DE.") == 2
    half = {**WHERE, "city": "", "_continue": "", **NO_ROWS}
    assert "No city: no carrier" in text(staff.post(address, half, follow=True))
    shop.work()
    assert status(order) == "CONFIRMED"
    saved = text(staff.post(address, {**WHERE, "country": "de", **NO_ROWS}, follow=True))

    assert ("is being asked for again" in saved) == packed_first
    assert "no carrier sells a label" not in text(staff.get(address))
    if not packed_first:
        scan(wanda, order.number)
    shop.work()
    assert status(order) == "SHIPPED"
    parcel.refresh_from_db()
    assert (parcel.name, parcel.line1, parcel.city, parcel.country) == ("Ada", "Hauptstraße 1", "Berlin", "DE")
    about = text(staff.get(reverse("admin:orders_order_change", args=[order.id])))
    assert "To Ada, Hauptstraße 1, 10115 Berlin, DE" in about
    saga = SagaInstance.objects.get(subject_id=order.id, name="fulfill_order")
    asked = [entry.reason for entry in sagas.story(saga.pk).history if entry.actor == "staff"]
    assert asked == ["The address was corrected."] * (2 if packed_first else 0)


def test_a_carrier_that_is_down_is_said(shop, buy, wanda, sandbox_carrier, settings):  # noqa: F811
    settings.SAGA_BREAKER_FAILURES = 1
    orders = buy(1, 1)
    sandbox_carrier.close_door()
    wanda.post(reverse(PACK), {"names": " ".join(order.number for order in orders)})
    shop.work()

    page = batch_page(wanda, Batch.objects.get())

    assert "Labels are being bought: 0 of 2" in page
    assert re.search(r"[12] stand by", page)


def test_what_can_not_be_sent(shop, buy, wanda):
    first, second = buy(1, 1)
    chosen = wanda.post(reverse(PACK), {"cannot_ship": "", "order": [first.number, second.number]}, follow=True)
    assert f"{first.number} {second.number}" in chosen.content.decode()
    refused = text(wanda.post(reverse(CANNOT), {"names": first.number, "reason": " "}))
    assert "This field is required." in refused

    names = f"{first.number} {second.number} nothing"
    page = text(wanda.post(reverse(CANNOT), {"names": names, "reason": "Not on the shelf."}))

    assert page.index("nothing: Refused") < page.index(f"{first.number}: Taken back")
    shop.work()
    assert [selectors.order(one.id).failure_code for one in (first, second)] == ["cannot_ship"] * 2
    whys = [(entry.who, entry.why) for entry in selectors.timeline(first.id)]
    assert ("wanda", "Can't be shipped: Not on the shelf.") in whys


def test_labels_that_are_new_those_of_today_and_chosen_ones(shop, buy, wanda):
    first, second, unpacked = buy(1, 1, 1)
    nothing = wanda.post(reverse(LABELS), {"new": ""}, follow=True)
    assert "There is no label to print" in text(nothing)
    scan(wanda, first.number)
    shop.work()
    assert len(pages(wanda.post(reverse(LABELS), {"new": ""}).content)) == 1
    scan(wanda, second.number)
    shop.work()

    new = pages(wanda.post(reverse(LABELS), {"new": ""}).content)
    today = pages(wanda.post(reverse(LABELS), {"recent": ""}).content)
    tracking = Shipment.objects.get(reference_id=first.id).tracking_number
    chosen = pages(wanda.post(reverse(LABELS), {"names": f"{tracking}, {unpacked.number}"}).content)

    assert [second.number in page.text for page in new] == [True]
    assert len(today) == 2
    assert [first.number in page.text for page in chosen] == [True]


def test_the_list_of_what_waits_can_be_narrowed(shop, buy, wanda):
    _, two = buy(1, 2)
    Shipment.objects.filter(reference_id=two.id).update(service="express")

    assert "Fetch 2 units for 1 order" in text(wanda.get(reverse(PICK), {"by": "sandbox/express"}))
    assert "Fetch 3 units for 2 orders" in text(wanda.get(reverse(PICK), {"by": "sandbox/"}))
    assert "Nothing of this kind" in text(wanda.get(reverse(PICK), {"age": "4"}))
    assert "Fetch 3 units for 2 orders" in text(wanda.get(reverse(PICK), {"age": "soon", "size": "all", "by": "moon"}))


def test_only_who_may_pack(buy, wanda, clerk):
    (order,) = buy(1)
    wanda.post(reverse(PICK), {"shown": order.number})
    batch = Batch.objects.get()
    of_batch = [
        reverse(f"admin:fulfillment_batch_{name}", args=[batch.pk])
        for name in ("progress", "packed", "labels_of", "slips_of", "change")
    ]

    for address in [reverse(name) for name in (PICK, PACK, LABELS, CANNOT)] + of_batch:
        assert clerk.get(address).status_code == 403
        assert clerk.post(address, {"names": order.number, "new": "", "reason": "x"}).status_code == 403
    assert wanda.get(of_batch[1]).status_code == 403  # only a POST packs
    assert wanda.get(of_batch[2]).status_code == 403
    assert status(order) == "CONFIRMED"
    assert set(Shipment.objects.values_list("status", flat=True)) == {"CREATED"}
    assert "Packing" in text(wanda.get("/admin/"))
    assert reverse(PACK) not in clerk.get("/admin/").content.decode()
