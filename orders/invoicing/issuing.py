"""Writing invoices: any number in one statement, which takes their numbers too.

It is sent at the end of the transaction that confirms the orders, so it has to be cheap: nothing is looked up, nothing
comes back, and the lock on the counter is held for no longer than this and the commit.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from django.conf import settings

from marketplace.kernel.arrays import Bigints, Documents, Texts, Uuids
from marketplace.kernel.bulk import binding_cursor, json_bytes, to_json
from orders.invoicing import taxes

_NAMESPACE: Final = UUID("8b1de1b6-6a5e-5d0c-9f43-6f1a4a0f6c11")  # of sellers' ids; any would do

# The counter says when, too: had somebody begun before midnight and then waited for a number that somebody else took
# after it, numbers and dates would not be in the same order.
TAKE: Final = """
    INSERT INTO orders_series AS s (kind, year, last, issued_at) VALUES (%(kind)s, %(year)s, %(count)s, %(now)s)
    ON CONFLICT (kind, year) DO UPDATE
    SET last = s.last + excluded.last, issued_at = greatest(s.issued_at, excluded.issued_at)
    RETURNING last - %(count)s::int AS before, issued_at
"""

_ISSUE: Final = f"""
WITH seller AS (
    INSERT INTO orders_seller (id, content) VALUES (%(seller)s, %(seller_content)s) ON CONFLICT DO NOTHING
), taken AS (
    {TAKE}
)
INSERT INTO orders_invoice (
    order_id, year, sequence, issued_at, seller_id, currency, total_minor, tax_percent, tax_minor, content)
SELECT g.order_id, %(year)s, taken.before + g.place, taken.issued_at, %(seller)s, g.currency, g.total, g.percent, g.tax,
    g.content
FROM taken, ROWS FROM (
    unnest(%(orders)b::uuid[]), unnest(%(currencies)b::text[]), unnest(%(totals)b::bigint[]),
    unnest(%(percents)b::text[]::numeric[]), unnest(%(taxes)b::bigint[]), unnest(%(contents)b::jsonb[])
) WITH ORDINALITY AS g(order_id, currency, total, percent, tax, content, place)
"""  # noqa: S608 (a constant of ours, no input)


class Confirmed(NamedTuple):
    """A confirmed order, as far as its invoice needs it. `lines`: SKU, name, quantity, minor units each."""

    order_id: UUID
    number: str
    currency: str
    total_minor: int
    email: str
    address: Mapping[str, Any] | None
    lines: Sequence[tuple[str, str, int, int]]


def issue(confirmed: Sequence[Confirmed], *, now: datetime) -> None:
    """Write the invoice of each of these orders, numbered in the order given.

    Takes part in the caller's transaction, which must be the one that confirms them; locks the counter, so it should be
    the last that is done there. An order that has one already is refused by the database.
    """
    if not confirmed:
        return
    seller = seller_now()
    percents = [taxes.rate_for((one.address or {}).get("country", "")) for one in confirmed]
    totals = [one.total_minor for one in confirmed]
    values = {
        "kind": "invoice",
        "year": year_of(now),
        "count": len(confirmed),
        "now": now,
        "seller": _seller_id(seller),
        "seller_content": seller,
        "orders": Uuids([one.order_id for one in confirmed]),
        "currencies": Texts([one.currency for one in confirmed]),
        "totals": Bigints(totals),
        "percents": Texts(list(map(str, percents))),
        "taxes": Bigints(list(map(taxes.included, totals, percents))),
        "contents": Documents([json_bytes(_content(one)) for one in confirmed]),
    }
    with binding_cursor() as cursor:
        cursor.execute(_ISSUE, values)


def _content(one: Confirmed) -> dict[str, Any]:
    lines = [tuple(line) for line in one.lines]  # named ones can only be written slowly
    return {"order": one.number, "email": one.email, "address": one.address, "lines": lines}


def year_of(instant: datetime) -> int:
    """The year to which a number taken at `instant` belongs: that of the calendar in INVOICE_TIME_ZONE."""
    return instant.astimezone(_zone(settings.INVOICE_TIME_ZONE)).year


_zone = cache(ZoneInfo)


def seller_now() -> str:
    """The seller as the settings have it, as JSON text."""
    return to_json(
        {
            "name": settings.SELLER_NAME,
            "address": settings.SELLER_ADDRESS,
            "country": settings.SELLER_COUNTRY,
            "tax_id": settings.SELLER_TAX_ID,
            "email": settings.SELLER_EMAIL,
        }
    )


@cache
def _seller_id(content: str) -> UUID:
    return uuid5(_NAMESPACE, content)
