"""The world of the stories is to be trusted itself: time that jumps does so for everybody who waits for it."""

from datetime import timedelta

import pytest

from marketplace.sagas.models import Circuit, SagaInstance
from tests.stateful.world import MoodyBank, jump

pytestmark = pytest.mark.django_db(transaction=True)


def test_when_time_jumps_a_breaker_may_be_tried_and_standing_by_still_counts_for_nothing(shop, settings):
    settings.SAGA_BREAKER_FAILURES = 1
    shop.stocked("lamp", 1)
    bank = MoodyBank(shop.gateway.gateway())
    with bank.between():
        bank.mood = "down"
        order = shop.bought("lamp")
        saga = SagaInstance.objects.get(pk=order.saga_id)
        assert (saga.standby, Circuit.objects.get().state) == ("circuit:sandbox", "OPEN")

        bank.mood = "well"
        jump(timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS + 1))  # by far longer than the breaker pauses
        shop.work()
    assert shop.now(order).status == "CONFIRMED"
    assert Circuit.objects.get().state == "CLOSED"
