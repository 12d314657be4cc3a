import pytest

from marketplace.outbox import catalog


def test_every_topic_has_a_source_and_no_type_is_in_two():
    assert catalog.SOURCE_OF_TOPIC.keys() == catalog.TYPES_OF_TOPIC.keys()
    assert sum(map(len, catalog.TYPES_OF_TOPIC.values())) == len(catalog.TYPES) == 38


@pytest.mark.parametrize(
    "pair", [("order-events", "SAGA_STARTED"), ("order-events", "ORDER_LOST"), ("x", "ORDER_PAID")]
)
def test_what_is_not_in_it_is_refused(pair):
    with pytest.raises(catalog.UnknownEventType):
        catalog.check(*pair)


def test_what_is_in_it_passes():
    catalog.check("payment-events", "PAYMENT_VOIDED")
