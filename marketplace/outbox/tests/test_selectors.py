from datetime import timedelta

import pytest
from django.db import transaction

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.outbox import selectors
from marketplace.outbox.models import OutboxEvent, Unpublished
from marketplace.outbox.services import Event, append
from marketplace.outbox.tests.conftest import NOON, told

pytestmark = pytest.mark.django_db


def test_the_events_of_a_saga_come_in_its_order(saga, tell, django_assert_num_queries):
    tell(told(saga), told(new_id()), told(saga, "ORDER_RESERVED", units=2))
    Unpublished.objects.filter(position=OutboxEvent.objects.get(saga_id=saga, sequence=1).position).delete()

    with django_assert_num_queries(2):
        first, second = selectors.events_of(saga_id=saga)

    assert (first.type, first.sequence, first.published) == ("ORDER_CREATED", 1, True)
    assert (second.type, second.sequence, second.published) == ("ORDER_RESERVED", 2, False)
    assert (second.data, second.occurred_at) == ({"units": 2}, NOON)


def test_the_events_of_an_order_come_over_all_its_sagas(tell):
    order, buying, shipping = new_id(), new_id(), new_id()
    tell(Event("order-events", "ORDER_CONFIRMED", buying, order, {}))
    tell(Event("fulfillment-events", "SHIPMENT_CREATED", shipping, order, {}), told(new_id()))

    types = [event.type for event in selectors.events_of(subject_id=order)]

    assert types == ["ORDER_CONFIRMED", "SHIPMENT_CREATED"]


@pytest.mark.parametrize("asked", [{}, {"saga_id": new_id(), "subject_id": new_id()}])
def test_one_thing_is_asked_for(asked):
    with pytest.raises(TypeError):
        selectors.events_of(**asked)


def test_an_empty_backlog():
    assert selectors.backlog() == selectors.Backlog(count=0, oldest_seconds=0.0)


def test_the_backlog_tells_how_many_and_how_old(saga):
    for minutes in (10, 5):
        with transaction.atomic():
            append([told(saga)], now=database_now() - timedelta(minutes=minutes))

    backlog = selectors.backlog()

    assert backlog.count == 2
    assert 600 <= backlog.oldest_seconds < 900
