"""What must be true between our books and the gateway's own."""

import time
from collections.abc import Callable, Collection
from typing import Final
from uuid import UUID

from marketplace.operations.auditor import words
from marketplace.operations.auditor.report import Finding
from marketplace.sagas import selectors as sagas
from orders.models import Order
from payments import reconciliation
from payments.selectors import Difference, Discrepancy

LEDGERS_MATCH: Final = "ledger_matches_gateway"

PAUSE_SECONDS: Final = 1.0  # between two looks
MOST_LOOKS: Final = 5

_Looked = dict[tuple[Difference, str], Discrepancy]


def differences(*, pause: Callable[[float], None] = time.sleep) -> tuple[list[Finding], int]:
    """Compare the two ledgers; return the differences, and how many charges the gateway has.

    The two can't be read at the same instant, so a difference is believed when two looks, a moment apart, see it in the
    same words, and no saga is at work on it. Calls the gateway, so it needs to be outside of any transaction. Raises
    `GatewayUnavailable`.
    """
    candidates, count = _look()
    at_work: set[UUID] = set()
    for _ in range(MOST_LOOKS - 1):
        if not candidates:
            break
        pause(PAUSE_SECONDS)
        at_work = _at_work(candidates.values())  # asked before the look: who ends during it may be why they differ
        again, count = _look()
        seen_twice = {key: one for key, one in again.items() if candidates.get(key) == one}
        moving = {key: one for key, one in again.items() if key in candidates and key not in seen_twice}
        candidates = {**seen_twice, **moving}
        if not moving:
            break
    believed = [one for one in candidates.values() if not (one.unsettled and one.reference_id in at_work)]
    numbers = _numbers({one.reference_id for one in believed if one.reference_id})
    return [_finding(one, numbers) for one in believed], count


def _look() -> tuple[_Looked, int]:
    found, count = reconciliation.look()
    return {(one.kind, one.key): one for one in found}, count


def _at_work(found: Collection[Discrepancy]) -> set[UUID]:
    """Of calls without an answer: the orders whose saga is finding out, or waits in NEEDS_ATTENTION for a person."""
    open_ones = [one.reference_id for one in found if one.unsettled and one.reference_id is not None]
    return sagas.live_subjects(open_ones) if open_ones else set()


def _numbers(order_ids: Collection[UUID]) -> dict[UUID, str]:
    return dict(Order.objects.filter(pk__in=order_ids).values_list("pk", "number"))


def _finding(one: Discrepancy, numbers: dict[UUID, str]) -> Finding:
    if one.reference_id is None:
        subject, expected = f"charge {one.key}", "a payment of ours that asked for it"
    else:
        subject = words.order(one.reference_id, numbers.get(one.reference_id))
        expected = f"what our books say: {one.ours}"
    found = f"at the gateway {one.theirs or 'no such charge'} ({one.kind.value.replace('_', ' ')})"
    return Finding(LEDGERS_MATCH, subject, found, expected)
