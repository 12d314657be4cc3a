"""How long it takes: by country and weight, from the admin's rates, or the usual ones."""

from datetime import date

import pytest

from fulfillment.models import DeliveryRate
from fulfillment.selectors import Estimate, estimate, estimates, working_days_after


@pytest.mark.parametrize(
    ("start", "days", "expected"),
    [
        (date(2026, 11, 20), 0, date(2026, 11, 20)),  # a Friday
        (date(2026, 11, 20), 1, date(2026, 11, 23)),
        (date(2026, 11, 21), 1, date(2026, 11, 23)),
        (date(2026, 11, 23), 5, date(2026, 11, 30)),
    ],
)
def test_only_working_days_count(start, days, expected):
    assert working_days_after(start, days) == expected


@pytest.mark.django_db
def test_as_long_as_nobody_has_written_a_rate_the_usual_ones_count():
    assert estimates([("DE", 500), ("AT", 500), ("BR", 500), ("DE", 40_000), ("DE", 2_000_000)]) == [
        Estimate("sandbox", "standard", 1, 2),
        Estimate("sandbox", "standard", 2, 4),
        Estimate("sandbox", "standard", 6, 12),
        Estimate("sandbox", "freight", 3, 5),
        None,
    ]


@pytest.mark.django_db
def test_without_an_address_it_is_as_if_it_stayed_in_the_country(settings):
    settings.SHIP_FROM_COUNTRY = "AT"
    assert estimate("", 500) == Estimate("sandbox", "standard", 2, 4)


@pytest.mark.django_db
def test_the_admins_rates_take_the_place_of_the_usual_ones():
    common = {"carrier": "sandbox", "days_min": 1}
    DeliveryRate.objects.create(service="letter", countries=["DE", "AT"], up_to_grams=500, days_max=1, **common)
    DeliveryRate.objects.create(service="parcel", countries=["DE"], up_to_grams=5000, days_max=3, **common)
    DeliveryRate.objects.create(service="ship", up_to_grams=90_000, days_max=60, **common)
    DeliveryRate.objects.create(service="gone", countries=["FR"], up_to_grams=9, days_max=1, is_active=False, **common)
    DeliveryRate.objects.create(service="other", countries=["DE"], up_to_grams=9, days_min=1, days_max=1, carrier="x")
    found = estimates([("DE", 500), ("DE", 501), ("AT", 501), ("FR", 5), ("DE", 6000)])
    assert [one and one.service for one in found] == ["letter", "parcel", None, "ship", None]
