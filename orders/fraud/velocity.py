"""So many orders, or so much money, within so long: of one user, one e-mail address, one shipping address.

What is counted: every order that was placed within the rule's time of the order in question, before it or after it,
that order itself included, whatever became of it; for a card tester leaves a trail of orders that failed. Left out are
those that the shop itself, or time, ended before anything was tried: out of stock, and never paid. Of very many the
newest 1000 are counted.

What is promised when many come at once: an order is committed before it is checked, so of any set of orders that were
placed within the time, the one that is checked last finds all the others. Of N allowed orders, never more than N pass.
In a burst, more than the surplus may be held up, since each counts the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final, NamedTuple
from uuid import UUID

from marketplace.kernel import bulk
from marketplace.kernel.arrays import Instants, Texts, Uuids
from marketplace.kernel.money import format_minor
from orders.fraud.models import FraudRule, RuleKind
from orders.fraud.protocol import Facts, Finding, Verdict
from orders.fraud.rulebook import rulebook

MOST_COUNTED: Final = 1000
CLOCKS_DIFFER: Final = timedelta(hours=1)  # at most: ids are made by the clock of whoever took the order in

_BY: Final = {RuleKind.USER: "user_id", RuleKind.EMAIL: "email_key", RuleKind.ADDRESS: "address_key"}
_WHOSE: Final = {
    RuleKind.USER: "of this user",
    RuleKind.EMAIL: "of this e-mail address",
    RuleKind.ADDRESS: "to this address",
}

# One look into an index for each order and rule, over the ids that were made within the time; an id tells its time only
# roughly, so the row is asked for it again. (Each index leaves out the empty key, hence the condition.)
_COUNT: Final = """
SELECT count(o.total_minor), coalesce(sum(o.total_minor) FILTER (WHERE o.currency = asked.currency), 0)
FROM unnest(%b::text[], %b::text[], %b::uuid[], %b::uuid[], %b::timestamptz[], %b::timestamptz[])
    WITH ORDINALITY AS asked (key, currency, first_id, last_id, since, until, place)
LEFT JOIN LATERAL (
    SELECT total_minor, currency FROM orders_order
    WHERE {key} = asked.key AND {key} <> '' AND id BETWEEN asked.first_id AND asked.last_id
      AND created_at > asked.since AND created_at < asked.until
      AND failure_code NOT IN ('out_of_stock', 'reservation_expired')
    ORDER BY id DESC LIMIT {most}) AS o ON true
GROUP BY asked.place ORDER BY asked.place
"""


class _Asked(NamedTuple):
    """One rule for one order."""

    order: Facts
    rule: FraudRule
    key: str


def velocity(orders: Sequence[Facts], *, now: datetime) -> Mapping[UUID, Sequence[Finding]]:
    """Find the orders that are too many, or too much. One query for each kind of rule that is on."""
    found: dict[UUID, list[Finding]] = {}
    for kind, column in _BY.items():
        rules = rulebook().of(kind)
        key_of = attrgetter(column)
        asked = [_Asked(one, rule, key_of(one)) for rule in rules for one in orders if key_of(one)]
        for one, (count, total_minor) in zip(asked, _counted(column, asked), strict=True):
            found.setdefault(one.order.order_id, []).extend(_findings(one.rule, count, total_minor))
    return found


def _counted(column: str, asked: Sequence[_Asked]) -> list[tuple[int, int]]:
    if not asked:
        return []
    windows = [timedelta(minutes=one.rule.window_minutes or 0) for one in asked]
    since = [one.order.placed_at - window for one, window in zip(asked, windows, strict=True)]
    until = [one.order.placed_at + window for one, window in zip(asked, windows, strict=True)]
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(
            _COUNT.format(key=column, most=MOST_COUNTED),
            [
                Texts([one.key for one in asked]),
                Texts([one.rule.currency for one in asked]),
                Uuids([_first_id(at - CLOCKS_DIFFER) for at in since]),
                Uuids([_first_id(at + CLOCKS_DIFFER) for at in until]),
                Instants(since),
                Instants(until),
            ],
        )
        return [(count, int(total)) for count, total in cursor.fetchall()]


def _first_id(at: datetime) -> UUID:
    """The least id that can be made at that time (`kernel.ids`)."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)


def _findings(rule: FraudRule, count: int, total_minor: int) -> Iterator[Finding]:
    within = f"within {rule.window_minutes} min {_WHOSE[RuleKind(rule.kind)]} ({rule.name})"
    if rule.most_orders is not None and count > rule.most_orders:
        yield Finding(Verdict(rule.leads_to), f"{count} orders {within}; {rule.most_orders} are allowed")
    if rule.amount_minor is not None and total_minor > rule.amount_minor:
        total, most = (format_minor(minor, rule.currency) for minor in (total_minor, rule.amount_minor))
        yield Finding(Verdict(rule.leads_to), f"{total} {rule.currency} {within}; {most} are allowed")
