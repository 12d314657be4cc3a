"""The tax that is in a price."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.invoicing import taxes


@pytest.mark.parametrize(
    ("gross", "percent", "tax"),
    [
        (11900, "19", 1900),
        (10000, "19", 1597),  # 15.966…
        (100, "19", 16),
        (1, "19", 0),
        (3, "20", 1),  # exactly a half goes up
        (10000, "8.1", 749),
        (1_000, "0", 0),
        (0, "19", 0),
        (100, "100", 50),
    ],
)
def test_is_what_lies_above_the_net_price(gross, percent, tax):
    assert taxes.included(gross, Decimal(percent)) == tax


@given(st.integers(0, 10**15), st.decimals(0, 100, places=3))
def test_is_never_off_by_more_than_half_a_unit(gross, percent):
    exact = gross * percent.as_integer_ratio()[0], 100 * percent.as_integer_ratio()[1] + percent.as_integer_ratio()[0]
    tax = taxes.included(gross, percent)
    assert 0 <= tax <= gross
    assert abs(2 * (tax * exact[1] - exact[0])) <= exact[1]


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.decimals(0, 100, places=3))
def test_of_a_part_is_never_negative_and_never_more_than_the_part(some, more, percent):
    part = taxes.included(some + more, percent) - taxes.included(some, percent)
    assert 0 <= part <= more


def test_is_that_of_where_the_goods_go(settings):
    settings.SELLER_COUNTRY = "DE"
    settings.TAX_RATES = {"DE": Decimal(19), "AT": Decimal(20), "CH": Decimal(0)}
    assert [taxes.rate_for(country) for country in ("AT", "CH", "FR", "")] == [20, 0, 19, 19]
