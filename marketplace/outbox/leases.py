"""Which relay publishes which shard.

A saga's events must be published in order, so one relay at a time may do it. Each of them holds leases on its share of
the shards, by the database's clock, and takes over what a relay that died, or left, has let lapse.
"""

from collections.abc import Mapping
from math import ceil
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from marketplace.outbox.models import SHARDS

LEASE_SECONDS: Final = 15.0
RENEW_EVERY_SECONDS: Final = 5.0

_BE_SEEN: Final = """
WITH seen AS (
    INSERT INTO outbox_relay (id, seen_until) VALUES (%(me)s, clock_timestamp() + make_interval(secs => %(lease)s))
    ON CONFLICT (id) DO UPDATE SET seen_until = excluded.seen_until),
gone AS (DELETE FROM outbox_relay WHERE seen_until < clock_timestamp() AND id <> %(me)s)
SELECT count(*) FROM outbox_relay WHERE seen_until >= clock_timestamp() AND id <> %(me)s
"""

# Renews what this relay holds, takes what is free and gives back what is more than its share, in one statement.
_BALANCE: Final = """
WITH open AS MATERIALIZED (
    SELECT number, owner IS NOT DISTINCT FROM %(me)s AS mine FROM outbox_shard
    WHERE owner = %(me)s OR owner IS NULL OR leased_until < clock_timestamp()
    ORDER BY number FOR UPDATE SKIP LOCKED),
ranked AS (
    SELECT number, mine, row_number() OVER (ORDER BY mine DESC, number) <= %(share)s AS keep FROM open)
UPDATE outbox_shard AS s SET
    owner = CASE WHEN r.keep THEN %(me)s::uuid END,
    leased_until = CASE WHEN r.keep THEN clock_timestamp() + make_interval(secs => %(lease)s) END,
    fence = s.fence + CASE WHEN r.mine THEN 0 ELSE 1 END
FROM ranked AS r WHERE s.number = r.number AND (r.mine OR r.keep)
RETURNING s.number, s.fence, r.keep
"""


def balance(relay_id: UUID) -> Mapping[int, int]:
    """Renew, take and give back leases, so that the relays that are alive share the shards evenly.

    Returns the shards this relay now holds, each with its fencing token: it is good until the lease lapses or changes
    hands. Owns its transaction. To be called every `RENEW_EVERY_SECONDS`.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_BE_SEEN, {"me": relay_id, "lease": LEASE_SECONDS})
        [(others,)] = cursor.fetchall()
        share = ceil(SHARDS / (others + 1))
        cursor.execute(_BALANCE, {"me": relay_id, "lease": LEASE_SECONDS, "share": share})
        return {number: fence for number, fence, keep in cursor.fetchall() if keep}


def leave(relay_id: UUID) -> None:
    """Give everything back at once, so that nobody has to wait for the leases to lapse."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM outbox_relay WHERE id = %s", [relay_id])
        cursor.execute("UPDATE outbox_shard SET owner = NULL, leased_until = NULL WHERE owner = %s", [relay_id])


def make_shards() -> None:
    """Make the rows that leases are held on, where they are missing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO outbox_shard (number, fence) SELECT generate_series(0, %s), 0 ON CONFLICT DO NOTHING",
            [SHARDS - 1],
        )
