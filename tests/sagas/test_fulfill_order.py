"""From the confirmed order to the doorstep: packed, labelled, scanned, delivered."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models import F

from fulfillment import scanning
from fulfillment import services as fulfillment
from fulfillment.carriers.base import Consignment
from fulfillment.models import CarrierCall, Shipment
from fulfillment.selectors import shipments_of
from marketplace.kernel.clock import database_now
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import attention
from marketplace.sagas.models import SagaInstance
from orders import selectors, services
from orders.errors import AlreadyShipped
from orders.models import Order
from tests.shop import Shop

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = {"name": "Ada Lovelace", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}


class Parcel:
    """One confirmed order and its parcel, as a test tells of it."""

    def __init__(self, shop, carrier, *, postal_code="10115", quantity=1):
        self.shop, self.carrier = shop, carrier
        if not hasattr(shop, "lamps"):
            shop.lamps = shop.stocked("lamp", 10)
        self.order = shop.order("lamp", quantity, address={**ADDRESS, "postal_code": postal_code})
        shop.work()

    @property
    def status(self):
        return selectors.order(self.order.id).status

    @property
    def saga(self):
        return SagaInstance.objects.get(name="fulfill_order", subject_id=self.order.id)

    @property
    def shipment(self):
        return shipments_of([self.order.id])[self.order.id]

    @property
    def books(self):
        """What the carrier believes."""
        return self.carrier.shipment(self.shipment.label_key)

    def packed(self, *, work=True):
        result = services.packed([self.order.id], who="wanda", now=database_now())
        if work:
            self.shop.work()
        return result

    def scanned(self, *kinds):
        """The carrier scans it, and tells; here its word is passed on by asking it."""
        self.carrier.scan(self.shipment.label_key, *kinds)
        self.looked()

    def looked(self):
        seen = fulfillment.look(self.order.id)
        assert isinstance(seen, Consignment)
        with transaction.atomic():
            scanning.take_in([scanning.News(self.shipment.id, seen.scans)], now=database_now())
        scanning.pass_on(now=database_now())
        self.shop.work()

    def events(self):
        rows = OutboxEvent.objects.filter(saga_id=self.saga.id).order_by("sequence")
        return [row.type for row in rows]

    def notes(self):
        return [(entry.to_status, entry.who) for entry in selectors.timeline(self.order.id)]


@pytest.fixture
def parcel(shop, sandbox_carrier):
    return Parcel(shop, sandbox_carrier)


def test_a_confirmed_order_waits_to_be_packed(parcel):
    assert parcel.status == "CONFIRMED"
    assert (parcel.saga.status, parcel.saga.current_step) == ("IN_PROGRESS", "packed")
    assert (parcel.shipment.status, parcel.shipment.weight_grams, parcel.shipment.city) == ("CREATED", 100, "Berlin")
    assert parcel.events() == ["SAGA_STARTED", "SHIPMENT_CREATED"]


def test_what_was_left_lying_for_long_is_gone_on_with(shop, sandbox_carrier):
    """The warehouse's workers were away for longer than a saga may take: thousands of orders go on all the same."""
    shop.stocked("lamp", 1)
    order = shop.order("lamp", address=ADDRESS)
    shop.work(queues=("orders", "inventory", "payments"))
    mine = SagaInstance.objects.filter(name="fulfill_order", subject_id=order.id)
    assert mine.get().current_step == "create_shipment"
    hours = timedelta(hours=5)
    mine.update(deadline_at=F("deadline_at") - hours, started_at=F("started_at") - hours)
    shop.work()
    assert (mine.get().status, mine.get().current_step) == ("IN_PROGRESS", "packed")


def test_the_whole_way(parcel):
    parcel.packed()
    assert parcel.status == "SHIPPED"
    assert parcel.shipment.tracking_number == parcel.books["tracking_number"] != ""
    parcel.scanned("PICKED_UP")
    assert parcel.status == "IN_TRANSIT"
    parcel.scanned("OUT_FOR_DELIVERY")
    parcel.scanned("EXCEPTION")
    assert (parcel.status, parcel.shipment.status) == ("IN_TRANSIT", "EXCEPTION")
    parcel.scanned("DELIVERED")
    assert (parcel.status, parcel.saga.status) == ("DELIVERED", "COMPLETED")
    assert parcel.events() == [
        "SAGA_STARTED",
        "SHIPMENT_CREATED",
        "SHIPMENT_PACKED",
        "LABEL_GENERATED",
        "ORDER_SHIPPED",
        "SHIPMENT_SCANNED",
        "ORDER_IN_TRANSIT",
        "SHIPMENT_SCANNED",
        "SHIPMENT_SCANNED",
        "SHIPMENT_SCANNED",
        "SHIPMENT_DELIVERED",
        "ORDER_DELIVERED",
        "SAGA_COMPLETED",
    ]
    assert Shop.statuses(parcel.order)[-3:] == ["SHIPPED", "IN_TRANSIT", "DELIVERED"]
    assert CarrierCall.objects.count() == 1


def test_scans_that_come_all_at_once_and_backwards(parcel):
    parcel.packed()
    parcel.carrier.scan(parcel.shipment.label_key, "PICKED_UP", "OUT_FOR_DELIVERY", "DELIVERED")
    seen = fulfillment.look(parcel.order.id).scans
    for scan in (seen[2], seen[2], seen[0], seen[1], seen[0]):
        with transaction.atomic():
            scanning.take_in([scanning.News(parcel.shipment.id, [scan])], now=database_now())
        scanning.pass_on(now=database_now())
        parcel.shop.work()
    assert (parcel.status, parcel.saga.status) == ("DELIVERED", "COMPLETED")
    assert Shop.statuses(parcel.order)[-3:] == ["SHIPPED", "IN_TRANSIT", "DELIVERED"]
    assert parcel.events().count("SHIPMENT_SCANNED") == 3


def test_a_cancel_before_it_is_packed(parcel):
    result = services.cancel(parcel.order.id, actor="user-1", now=database_now())
    assert result.pending
    parcel.shop.work()
    assert (parcel.status, parcel.shipment.status, parcel.saga.status) == ("CANCELLED", "CANCELLED", "COMPENSATED")
    assert not CarrierCall.objects.exists()
    assert parcel.shop.levels("lamp") == (10, 0)
    assert parcel.shop.money(parcel.order)[-1] == ("REFUND", 1000)
    assert parcel.packed().refused == {parcel.order.id}


def test_a_cancel_while_the_label_can_not_be_bought(parcel):
    parcel.carrier.close_door()
    parcel.packed()
    assert (parcel.status, parcel.saga.standby) == ("CONFIRMED", "circuit:carrier-sandbox")
    services.cancel(parcel.order.id, actor="user-1", now=database_now())
    parcel.shop.work()
    assert parcel.status == "CONFIRMED"  # its label has to be voided first, and the carrier is down
    SagaInstance.objects.filter(name="reverse_order").update(due_at=database_now(), wait_until=database_now())
    parcel.shop.work()
    assert parcel.status == "CANCELLED"  # the money does not wait for long


def test_a_cancel_after_the_label_comes_too_late(parcel):
    parcel.packed()
    with pytest.raises(AlreadyShipped):
        services.cancel(parcel.order.id, actor="user-1", now=database_now())
    parcel.scanned("PICKED_UP", "DELIVERED")
    assert parcel.status == "DELIVERED"


def test_a_label_that_is_refused_waits_for_a_person_who_corrects_it(shop, sandbox_carrier):
    parcel = Parcel(shop, sandbox_carrier, postal_code="00000")
    parcel.packed()
    saga = parcel.saga
    assert (parcel.status, saga.status, saga.current_step) == ("CONFIRMED", "NEEDS_ATTENTION", "buy_label")
    Shipment.objects.update(postal_code="10115")
    attention.retry(saga.id, actor="staff", reason="corrected", now=database_now())
    shop.work()
    assert parcel.status == "SHIPPED"
    assert list(CarrierCall.objects.values_list("outcome", flat=True)) == ["REFUSED", "DONE"]


@pytest.mark.parametrize("how", ["cannot_ship", "compensate", "cancel"])
def test_a_label_that_is_refused_for_good_leads_to_a_refund(shop, sandbox_carrier, how):
    parcel = Parcel(shop, sandbox_carrier, postal_code="00000")
    parcel.packed()
    now = database_now()
    if how == "cannot_ship":
        services.cannot_ship(parcel.order.id, reason="no such street", actor="wanda", now=now)
    elif how == "cancel":
        services.cancel(parcel.order.id, actor="user-1", now=now)
    else:
        attention.compensate(parcel.saga.id, actor="wanda", reason="no such street", now=now)
    shop.work()
    expected = ("CANCELLED", "cancelled_by_buyer") if how == "cancel" else ("FAILED", "cannot_ship")
    order = Order.objects.get(pk=parcel.order.id)
    assert (order.status, order.failure_code, order.refund_status) == (*expected, "REFUNDED")
    assert (parcel.shipment.status, parcel.saga.status) == ("CANCELLED", "COMPENSATED")
    assert shop.levels("lamp") == (10, 0)


def test_a_carrier_that_is_down_for_a_while_loses_nothing(parcel):
    parcel.carrier.close_door()
    parcel.packed()
    assert (parcel.status, parcel.saga.status, parcel.saga.attempt - parcel.saga.forgiven) == (
        "CONFIRMED",
        "IN_PROGRESS",
        0,
    )
    parcel.carrier.close_door(closed=False)
    SagaInstance.objects.filter(name="fulfill_order").update(due_at=database_now())
    parcel.shop.work()
    assert parcel.status == "SHIPPED"


def test_a_label_whose_answer_is_lost_is_bought_once(shop, sandbox_carrier, settings):
    settings.CARRIER_TIMEOUT_SECONDS = 2.0
    settings.SAGA_RETRY_DELAY_SECONDS = 0
    parcel = Parcel(shop, sandbox_carrier, postal_code="00002")
    parcel.packed()
    assert parcel.status == "SHIPPED"
    assert parcel.books["tracking_number"] == parcel.shipment.tracking_number


def test_a_parcel_that_nobody_packs_is_shown_to_a_person_and_goes_on_once_it_is_packed(shop, sandbox_carrier, settings):
    settings.PACKING_DAYS = 1e-9
    parcel = Parcel(shop, sandbox_carrier)
    assert (parcel.saga.status, parcel.saga.current_step) == ("NEEDS_ATTENTION", "check_packed")
    assert parcel.packed().packed == {parcel.order.id}
    assert parcel.status == "SHIPPED"


def test_a_parcel_of_which_nothing_is_heard_is_looked_for(shop, sandbox_carrier, settings):
    settings.PICK_UP_DAYS = settings.DELIVERY_DAYS = 1e-9
    parcel = Parcel(shop, sandbox_carrier)
    parcel.packed()
    assert (parcel.status, parcel.saga.status) == ("SHIPPED", "NEEDS_ATTENTION")
    assert parcel.saga.current_step == "look_for_pick_up"
    parcel.carrier.scan(parcel.shipment.label_key, "PICKED_UP")
    attention.retry(parcel.saga.id, actor="staff", reason="look again", now=database_now())
    shop.work()
    assert (parcel.status, parcel.saga.current_step) == ("IN_TRANSIT", "look_for_delivery")
    parcel.carrier.scan(parcel.shipment.label_key, "DELIVERED")
    attention.retry(parcel.saga.id, actor="staff", reason="look again", now=database_now())
    shop.work()
    assert parcel.status == "DELIVERED"


def test_a_thousand_are_packed_in_a_constant_number_of_statements(shop, sandbox_carrier, django_assert_max_num_queries):
    shop.stocked("pin", 100)
    orders = [shop.order("pin", address=ADDRESS) for _ in range(60)]
    shop.work(seconds=60)
    ids = [order.id for order in orders]
    with django_assert_max_num_queries(10):
        assert services.packed(ids, who="wanda", now=database_now()).packed == set(ids)
    shop.work(seconds=60)
    assert set(Order.objects.values_list("status", flat=True)) == {"SHIPPED"}


def test_many_that_can_not_be_shipped(shop, sandbox_carrier, django_assert_max_num_queries):
    shop.stocked("pin", 100)
    ids = [shop.order("pin", address=ADDRESS).id for _ in range(30)]
    shop.work(seconds=60)
    with django_assert_max_num_queries(17):
        assert services.cannot_ship_many(ids, reason="fire", actor="wanda", now=database_now()) == set(ids)
    shop.work(seconds=60)
    assert set(Order.objects.values_list("status", "failure_code")) == {("FAILED", "cannot_ship")}
    assert isinstance(ids[0], UUID)
