"""The order's state machine: every arrow there is, and no other."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction
from django_fsm import TransitionNotAllowed

from marketplace.kernel.ids import new_id
from orders.models import Order, Status

LATER = datetime(2030, 1, 1, tzinfo=UTC)
TRIGGERS = {
    "reserve": {"until": LATER},
    "await_payment": {"until": LATER},
    "pay": {"transaction_id": "ch_1"},
    "confirm": {},
    "fail": {"code": "payment_declined", "message": "No."},
    "cancel": {"code": "cancelled_by_buyer", "message": "No."},
}
ARROWS = {
    (Status.CREATED, "reserve"): Status.RESERVED,
    (Status.RESERVED, "await_payment"): Status.PAYMENT_PENDING,
    (Status.PAYMENT_PENDING, "pay"): Status.PAID,
    (Status.PAID, "confirm"): Status.CONFIRMED,
    **{
        (source, trigger): target
        for source in (Status.CREATED, Status.RESERVED, Status.PAYMENT_PENDING, Status.PAID, Status.CONFIRMED)
        for trigger, target in (("fail", Status.FAILED), ("cancel", Status.CANCELLED))
    },
}


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_every_arrow_and_no_other(status, trigger):
    order = Order(status=status)
    expected = ARROWS.get((Status(status), trigger))

    if expected is None:
        with pytest.raises(TransitionNotAllowed):
            getattr(order, trigger)(**TRIGGERS[trigger])
        assert order.status == status
    else:
        getattr(order, trigger)(**TRIGGERS[trigger])
        assert order.status == expected


def test_the_status_is_protected():
    order = Order(status=Status.CREATED)
    with pytest.raises(AttributeError):
        order.status = Status.CONFIRMED


def saved(**changes):
    values = {"id": new_id(), "number": "M-1", "saga_id": new_id(), "currency": "EUR", "total_minor": 1, **changes}
    return Order.objects.create(**values)


@pytest.mark.django_db
@pytest.mark.parametrize("changes", [{"total_minor": -1}, {"status": "LOST"}, {"status": Status.FAILED}])
def test_the_database_refuses_what_can_not_be(changes):
    with pytest.raises(IntegrityError), transaction.atomic():
        saved(**changes)
    assert not Order.objects.exists()


@pytest.mark.django_db
def test_an_order_has_one_saga():
    first = saved()
    with pytest.raises(IntegrityError), transaction.atomic():
        saved(number="M-2", saga_id=first.saga_id)
