"""What is the same however it is written, and what isn't."""

import pytest

from orders.fraud import keys

HOME = {"name": "Ann", "line1": "Müller-Straße 1", "city": "Berlin", "postal_code": "10115", "country": "DE"}


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Ann.B+shop@GMail.com", "annb@gmail.com"),
        ("annb@googlemail.com", "annb@gmail.com"),
        (" Ann.B@Example.COM ", "ann.b@example.com"),
        ("ann+1@example.com", "ann@example.com"),
        ("+1@example.com", "+1@example.com"),
        ("", ""),
        ("ann", ""),
    ],
)
def test_an_e_mail_address(written, key):
    assert keys.email_key(written) == key


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Bob"},
        {"line1": "MULLER STRASSE 1."},
        {"line1": "müller-straße", "line2": "1"},
        {"postal_code": "101 15"},
        {"city": "BERLIN"},
        {"line2": ""},
    ],
)
def test_the_same_address(changes):
    assert keys.address_key({**HOME, **changes}) == keys.address_key(HOME)


@pytest.mark.parametrize("changes", [{"line1": "Müller-Straße 11"}, {"country": "AT"}, {"postal_code": "10117"}])
def test_another_address(changes):
    assert keys.address_key({**HOME, **changes}) != keys.address_key(HOME)


def test_no_address():
    assert (keys.address_key(None), keys.address(None), keys.postcode(None), keys.country(None)) == ("", "", "", "")
    assert keys.postcode({"postal_code": "10115"}) == ""


def test_a_place():
    assert keys.address(HOME) == "mullerstrasse110115berlinde"
    assert (keys.postcode(HOME), keys.country(HOME)) == ("de10115", "DE")
