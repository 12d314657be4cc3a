"""Shipments move only along their states; calls are on record before they are made; a label is bought once."""

from datetime import date, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from fulfillment import scanning, services
from fulfillment.carriers.base import Outcome, Reply, Scan, ScanKind
from fulfillment.errors import CallInsideTransaction, KeyTaken
from fulfillment.models import CarrierCall, Shipment
from fulfillment.models import Scan as ScanRow
from fulfillment.selectors import lines_of, refused_labels, scans_of, shipments_of
from fulfillment.tests.warehouse import NOW, begun, created, packed, recorded, wish

pytestmark = pytest.mark.django_db

BOUGHT = Reply(Outcome.DONE, reference="shp_1", tracking_number="SB1", estimated_delivery=date(2026, 11, 25))


def status(view):
    return Shipment.objects.get(pk=view.id).status


def scanned(view, *scans, now=NOW):
    with transaction.atomic():
        return scanning.take_in([scanning.News(view.id, scans)], now=now)[view.id]


def scan(event_id, kind, minutes=0):
    return Scan(event_id, ScanKind(kind), NOW + timedelta(minutes=minutes), "Berlin", "")


def test_a_shipment_is_planned_once_for_an_order():
    request = wish()
    with transaction.atomic():
        first = services.create([request, wish()], now=NOW)
        again = services.create([request], now=NOW + timedelta(days=3))
    assert again == first[:1]
    assert Shipment.objects.count() == 2
    assert [line.sku for line in lines_of([first[0].id])[first[0].id]] == ["laptop-1"]
    assert (first[0].estimated_from, first[0].estimated_delivery) == (date(2026, 11, 23), date(2026, 11, 24))


def test_a_thousand_are_planned_and_packed_in_as_many_statements_as_one(django_assert_num_queries):
    requests = [wish() for _ in range(1000)]
    with django_assert_num_queries(3), transaction.atomic(savepoint=False):
        views = services.create(requests, now=NOW)
    with django_assert_num_queries(2), transaction.atomic(savepoint=False):
        assert len(services.pack([view.reference_id for view in views], who="w", now=NOW)) == 1000


def test_packing_twice_is_packing_once_and_what_is_cancelled_is_not_packed():
    first, second = created(2)
    with transaction.atomic():
        services.cancel([second.reference_id], now=NOW)
        done = services.pack([first.reference_id, second.reference_id], who="wanda", now=NOW)
        again = services.pack([first.reference_id], who="otto", now=NOW)
    assert done == again == {first.reference_id}
    assert Shipment.objects.get(pk=first.id).packed_by == "wanda"
    assert status(second) == "CANCELLED"


def test_a_label_is_asked_for_only_once_it_is_packed():
    assert begun("BUY", created()) == [None]
    assert not CarrierCall.objects.exists()


def test_a_label_moves_its_shipment_once():
    [view] = packed()
    [call] = begun("BUY", [view])
    assert CarrierCall.objects.get().outcome == ""
    assert recorded((call, BOUGHT))[0].status == "LABELLED"
    again = recorded((call, Reply(Outcome.REFUSED, code="late")))[0]
    assert (again.status, again.tracking_number, again.estimated_delivery) == ("LABELLED", "SB1", date(2026, 11, 25))
    assert begun("BUY", [view]) == [None]


def test_another_key_is_taken_only_after_a_refusal():
    [view] = packed()
    [call] = begun("BUY", [view])
    with pytest.raises(KeyTaken):
        begun("BUY", [view], key="other")
    recorded((call, Reply(Outcome.UNKNOWN)))
    with pytest.raises(KeyTaken):
        begun("BUY", [view], key="other")
    recorded((call, Reply(Outcome.REFUSED, code="address_unknown")))
    assert refused_labels([view.reference_id]) == {view.reference_id: 1}
    [second] = begun("BUY", [view], key="other")
    assert second.label_key == second.key


def test_the_label_of_a_cancelled_shipment_stays_on_its_call():
    [view] = packed()
    [call] = begun("BUY", [view])
    with transaction.atomic():
        services.cancel([view.reference_id], now=NOW)
    assert recorded((call, BOUGHT))[0].status == "CANCELLED"
    assert CarrierCall.objects.get().outcome == "DONE"


def test_there_is_nothing_to_void_where_nothing_was_asked_for():
    assert begun("VOID", packed()) == [None]


def test_no_call_is_made_in_a_transaction():
    [call] = begun("BUY", packed())
    assert connection.in_atomic_block  # the test's own
    with pytest.raises(CallInsideTransaction):
        services.send(call)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_scans_in_any_order_end_the_same(order):
    [view] = packed()
    recorded((begun("BUY", [view])[0], BOUGHT))
    scans = [scan("e1", "PICKED_UP"), scan("e2", "OUT_FOR_DELIVERY", 5), scan("e3", "DELIVERED", 9)]
    for at in order:
        assert scanned(view, scans[at], scans[at]) == 1
    assert scanned(view, *scans) == 0
    found = shipments_of([view.reference_id])[view.reference_id]
    assert (found.status, found.delivered_at) == ("DELIVERED", NOW + timedelta(minutes=9))
    assert [one.kind for one in scans_of(view.id)] == ["PICKED_UP", "OUT_FOR_DELIVERY", "DELIVERED"]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["ANNOUNCED"], "LABELLED"),
        (["PICKED_UP"], "IN_TRANSIT"),
        (["PICKED_UP", "EXCEPTION"], "EXCEPTION"),
        (["PICKED_UP", "EXCEPTION", "IN_TRANSIT"], "IN_TRANSIT"),
        (["DELIVERED", "IN_TRANSIT"], "DELIVERED"),  # a late report of the depot
        (["DELIVERED", "RETURNED"], "EXCEPTION"),
    ],
)
def test_the_newest_scan_says_where_it_is(kinds, expected):
    [view] = packed()
    recorded((begun("BUY", [view])[0], BOUGHT))
    scanned(view, *(scan(f"e{at}", kind, at) for at, kind in enumerate(kinds)))
    assert status(view) == expected


def test_a_scan_may_be_faster_than_the_label():
    [view] = packed()
    [call] = begun("BUY", [view])
    scanned(view, scan("e1", "PICKED_UP"))
    after = recorded((call, BOUGHT))[0]
    assert (after.status, after.tracking_number) == ("IN_TRANSIT", "SB1")


def test_a_scan_may_be_faster_than_a_label_whose_answer_was_lost():
    [view] = packed()
    [call] = begun("BUY", [view])
    recorded((call, Reply(Outcome.UNKNOWN)))
    scanned(view, scan("e1", "PICKED_UP"))
    assert begun("BUY", [view], key="another") == [None]
    [again] = begun("BUY", [view], number=2)
    after = recorded((again, BOUGHT))[0]
    assert (after.status, after.tracking_number) == ("IN_TRANSIT", "SB1")
    assert begun("BUY", [view], number=3) == [None]


def test_the_day_of_a_late_word_does_not_count():
    [view] = packed()
    new, old = date(2026, 11, 27), date(2026, 11, 24)
    with transaction.atomic():
        scanning.take_in([scanning.News(view.id, [scan("e2", "IN_TRANSIT", 5)], new)], now=NOW)
    for late in ([scan("e1", "PICKED_UP")], []):
        with transaction.atomic():
            scanning.take_in([scanning.News(view.id, late, old)], now=NOW)
        assert shipments_of([view.reference_id])[view.reference_id].estimated_delivery == new
    with transaction.atomic():
        scanning.take_in([scanning.News(view.id, [scan("e2", "IN_TRANSIT", 5)], old)], now=NOW)
    assert shipments_of([view.reference_id])[view.reference_id].estimated_delivery == old


def test_a_scan_is_told_once_committed_and_until_somebody_has_heard(monkeypatch):
    heard, deaf = [], [True]

    def listener(scans):
        if deaf:
            raise RuntimeError("deaf")
        heard.extend((one.reference_id, one.kind) for one in scans)

    monkeypatch.setattr(scanning, "_listeners", [listener])
    [view] = packed()
    recorded((begun("BUY", [view])[0], BOUGHT))
    scanned(view, scan("e1", "PICKED_UP"))
    assert scanning.pass_on(now=NOW) == 0
    deaf.clear()
    later = NOW + timedelta(minutes=1)
    assert scanning.pass_on(now=later) == 1
    assert scanning.pass_on(now=later) == 0
    assert heard == [(view.reference_id, "PICKED_UP")]


def test_what_a_carrier_said_can_not_be_rewritten():
    [view] = packed()
    recorded((begun("BUY", [view])[0], BOUGHT))
    scanned(view, scan("e1", "PICKED_UP"))
    with pytest.raises(IntegrityError), transaction.atomic():
        ScanRow.objects.filter(shipment_id=view.id).update(kind="DELIVERED")
