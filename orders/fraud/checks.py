"""The checkers that every shop has. Each is a function by the protocol; `judging` asks them in this order."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.conf import settings

from marketplace.kernel import bulk
from marketplace.kernel.arrays import Texts
from marketplace.kernel.money import exponent, format_minor
from orders.fraud import keys
from orders.fraud.models import DenyEntry, DenyKind, FraudRule, RuleKind
from orders.fraud.protocol import Checker, Facts, Finding, Verdict
from orders.fraud.rulebook import Rulebook, rulebook
from orders.fraud.velocity import velocity

_SAID: Final = {
    "ELEVATED": Finding(Verdict.REVIEW, "the payment provider sees an elevated risk"),
    "HIGHEST": Finding(Verdict.REJECT, "the payment provider takes it for fraud"),
}


def gateway(orders: Sequence[Facts], *, now: datetime) -> Mapping[UUID, Sequence[Finding]]:
    """What the gateway's own check says of payments that it authorized all the same."""
    return {one.order_id: [_SAID[one.risk]] for one in orders if one.risk in _SAID}


def limit(orders: Sequence[Facts], *, now: datetime) -> Mapping[UUID, Sequence[Finding]]:
    """More money than the shop takes at all: FRAUD_AMOUNT_LIMIT, in the units of whatever currency it is."""
    most = settings.FRAUD_AMOUNT_LIMIT
    over = [one for one in orders if one.total_minor > most * 10 ** exponent(one.currency)]
    return {one.order_id: [Finding(Verdict.REJECT, f"the amount is over {most} {one.currency}")] for one in over}


def amount(orders: Sequence[Facts], *, now: datetime) -> Mapping[UUID, Sequence[Finding]]:
    """The rules about the amount of one order, each for its own currency."""
    rules = rulebook().of(RuleKind.AMOUNT)
    return {one.order_id: found for one in orders if rules and (found := list(_too_much(one, rules)))}


def _too_much(order: Facts, rules: Sequence[FraudRule]) -> Iterator[Finding]:
    for rule in rules:
        if order.currency == rule.currency and rule.amount_minor is not None and order.total_minor > rule.amount_minor:
            most = format_minor(rule.amount_minor, rule.currency)
            yield Finding(Verdict(rule.leads_to), f"the amount is over {most} {rule.currency} ({rule.name})")


def countries(orders: Sequence[Facts], *, now: datetime) -> Mapping[UUID, Sequence[Finding]]:
    """A card from another country than the parcel goes to. Says nothing where either is not known."""
    rules = rulebook().of(RuleKind.COUNTRY)
    return {one.order_id: found for one in orders if rules and (found := list(_elsewhere(one, rules)))}


def _elsewhere(order: Facts, rules: Sequence[FraudRule]) -> Iterator[Finding]:
    there = keys.country(order.shipping_address)
    if there and order.card_country and there != order.card_country:
        for rule in rules:
            found = f"a card from {order.card_country}, a parcel to {there} ({rule.name})"
            yield Finding(Verdict(rule.leads_to), found)


_NAMES: Final = {kind: label.partition(",")[0] for kind, label in DenyKind.choices}
_DENIED: Final = f"""
SELECT kind, value, leads_to FROM {DenyEntry._meta.db_table}
JOIN unnest(%b::text[], %b::text[]) AS asked (k, v) ON kind = asked.k AND value = asked.v WHERE is_active
"""  # noqa: S608 - a constant of ours


def denied(orders: Sequence[Facts], *, now: datetime) -> Mapping[UUID, Sequence[Finding]]:
    """The deny list. One query, if there is anything on it."""
    book = rulebook()
    asked = {one.order_id: _entries(one, book) for one in orders} if book.denied else {}
    wanted = sorted({entry for entries in asked.values() for entry in entries})
    if not wanted:
        return {}
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(_DENIED, [Texts([kind for kind, _ in wanted]), Texts([value for _, value in wanted])])
        known = {(kind, value): leads_to for kind, value, leads_to in cursor.fetchall()}
    return {
        order_id: [
            Finding(Verdict(known[kind, value]), f"{_NAMES[kind]} {value} is on the deny list")
            for kind, value in entries
            if (kind, value) in known
        ]
        for order_id, entries in asked.items()
    }


def _entries(order: Facts, book: Rulebook) -> list[tuple[str, str]]:
    """Every entry of the list, of those kinds that it has, that would speak of this order."""
    host = keys.domain(order.email).split(".")
    could_be = {
        DenyKind.EMAIL: [order.email_key],
        DenyKind.DOMAIN: [".".join(host[at:]) for at in range(len(host) - 1)],
        DenyKind.USER: [order.user_id],
        DenyKind.ADDRESS: [keys.address(order.shipping_address)],
        DenyKind.POSTCODE: [keys.postcode(order.shipping_address)],
        DenyKind.COUNTRY: [keys.country(order.shipping_address), order.card_country],
    }
    return [(str(kind), value) for kind, values in could_be.items() if kind in book.denied for value in values if value]


CHECKERS: Final[tuple[Checker, ...]] = (gateway, limit, amount, velocity, countries, denied)
