"""Amounts, dates and addresses as people of a language write them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from babel import Locale

from marketplace.paper import amounts
from marketplace.paper.addresses import PostalAddress

EN, DE = Locale("en"), Locale("de")


@pytest.mark.parametrize(
    ("minor", "currency", "english", "german"),
    [
        (129900, "EUR", "€1,299.00", "1.299,00 €"),
        (5, "USD", "$0.05", "0,05 $"),
        (1299, "JPY", "¥1,299", "1.299 ¥"),
        (1250, "KWD", "KWD 1.250", "1,250 KWD"),
        (-129900, "EUR", "-€1,299.00", "-1.299,00 €"),
        (10**15, "EUR", "€10,000,000,000,000.00", "10.000.000.000.000,00 €"),
        (1, "ISK", "ISK 1", "1 ISK"),
    ],
)
def test_money(minor, currency, english, german):
    assert amounts.money(minor, currency, EN).replace("\xa0", " ") == english
    assert amounts.money(minor, currency, DE).replace("\xa0", " ") == german


@pytest.mark.parametrize(
    ("value", "english", "german"), [("19", "19%", "19 %"), ("8.125", "8.125%", "8,125 %"), ("0", "0%", "0 %")]
)
def test_percent(value, english, german):
    assert amounts.percent(Decimal(value), EN) == english
    assert amounts.percent(Decimal(value), DE).replace("\xa0", " ") == german


def test_the_day_is_that_of_the_place():
    at = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert amounts.day(at, EN) == "December 31, 2026"
    assert amounts.day(at, DE, time_zone="Europe/Berlin") == "1. Januar 2027"


def test_an_address():
    berlin = PostalAddress("Jörg Müßig", "Weg 3", "10115", "Berlin", "DE", line2="2. Stock")
    assert berlin.lines(EN, origin="DE") == ["Jörg Müßig", "Weg 3", "2. Stock", "10115 Berlin"]
    assert berlin.lines(DE, origin="FR")[-1] == "DEUTSCHLAND"
    portland = PostalAddress("Ann", "1 Main St", "97201", "Portland, OR", "US")
    assert portland.lines(EN, origin="DE") == ["Ann", "1 Main St", "Portland, OR 97201", "UNITED STATES"]
    assert PostalAddress("", "", "", "", "").lines(EN) == []
    assert PostalAddress("Ann", "", "", "", "ZZ").lines(EN)[-1].isupper()
