"""Rules and entries of the deny list are validated, normalised, and every change of one is on record."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from marketplace.kernel.clock import database_now
from orders.fraud import services
from orders.fraud.models import DenyEntry, FraudRule, RuleChange

pytestmark = pytest.mark.django_db


def save(row, actor="ada"):
    services.save(row, actor=actor, now=database_now())
    return row


def test_every_change_is_on_record_with_who_and_what():
    rule = save(FraudRule(name="Big", kind="AMOUNT", currency="EUR", amount_minor=100_000))
    rule.amount_minor = 200_000
    save(rule, "bob")
    save(rule, "bob")  # nothing is another
    key = rule.pk
    services.remove(rule, actor="eve", now=database_now())

    changes = RuleChange.objects.order_by("id")
    assert [(one.action, one.actor, one.row_id, one.name) for one in changes] == [
        ("ADDED", "ada", key, "Big"), ("CHANGED", "bob", key, "Big"), ("REMOVED", "eve", key, "Big"),
    ]  # fmt: skip
    assert (changes[1].before["amount_minor"], changes[1].after["amount_minor"]) == (100_000, 200_000)
    assert (changes[0].before, changes[2].after) == ({}, {})


def test_an_entry_is_kept_as_orders_are_compared_with_it():
    assert save(DenyEntry(kind="EMAIL", value=" Ann.B+x@GMAIL.com ")).value == "annb@gmail.com"
    with pytest.raises(ValidationError):  # it is there already
        save(DenyEntry(kind="EMAIL", value="annb@googlemail.com"))
    assert RuleChange.objects.count() == 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("EMAIL", "example.com"), ("EMAIL", "a@b"), ("DOMAIN", "com"), ("DOMAIN", "ex ample.com"), ("USER", "  "),
        ("ADDRESS", "x"), ("POSTCODE", "10115"), ("POSTCODE", "DE"), ("COUNTRY", "DEU"), ("COUNTRY", "Germany"),
        ("PLANET", "Mars"),
    ],
)  # fmt: skip
def test_an_entry_that_could_never_be_met_is_refused(kind, value):
    with pytest.raises(ValidationError):
        save(DenyEntry(kind=kind, value=value))
    assert not RuleChange.objects.exists()


BAD = [
    {"kind": "AMOUNT"},
    {"kind": "AMOUNT", "currency": "EUR", "amount_minor": 1, "most_orders": 1},
    {"kind": "AMOUNT", "currency": "EUR", "amount_minor": 1, "window_minutes": 1},
    {"kind": "AMOUNT", "amount_minor": 1},
    {"kind": "AMOUNT", "currency": "EUR", "amount_minor": 0},
    {"kind": "AMOUNT", "currency": "eur", "amount_minor": 1},
    {"kind": "USER"},
    {"kind": "USER", "most_orders": 3},
    {"kind": "USER", "window_minutes": 60},
    {"kind": "EMAIL", "most_orders": 0, "window_minutes": 60},
    {"kind": "ADDRESS", "most_orders": 3, "window_minutes": 60 * 24 * 400},
    {"kind": "COUNTRY", "currency": "EUR", "amount_minor": 1},
    {"kind": "COUNTRY", "most_orders": 1},
    {"kind": "MOOD"},
    {"kind": "COUNTRY", "leads_to": "JAIL"},
]


@pytest.mark.parametrize("values", BAD)
def test_a_rule_that_makes_no_sense_is_refused_in_words_and_by_the_database(values):
    with pytest.raises(ValidationError):
        save(FraudRule(name="Bad", **values))
    with pytest.raises(IntegrityError), transaction.atomic():
        FraudRule.objects.create(name="Bad", **values)
    assert not RuleChange.objects.exists()
