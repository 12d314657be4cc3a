"""What a fraud checker is given, and what it answers. Write one, name it in FRAUD_CHECKERS, and it is asked.

    def night_owls(orders: Sequence[Facts], *, now: datetime) -> Mapping[UUID, Sequence[Finding]]:
        '''Have somebody look at what is ordered between two and four.'''
        late = [one for one in orders if 2 <= one.placed_at.hour < 4]
        return {one.order_id: [Finding(Verdict.REVIEW, "ordered at night")] for one in late}

A checker is asked about a whole group of orders at once, in the transaction that moves their sagas, after the payment
was authorized and before any of it is taken. So it makes a constant number of queries, uses no network, and changes
nothing. What it raises concerns the orders it is raised for: each is then checked alone, and parked if it fails again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from uuid import UUID


class Verdict(StrEnum):
    """What is to become of an order. Of several, the strictest counts."""

    PASS = "PASS"  # noqa: S105 - no password
    REVIEW = "REVIEW"  # a person looks at it
    REJECT = "REJECT"


class Facts(NamedTuple):
    """What is known of one order. What nobody has told is empty.

    `risk` (ELEVATED or HIGHEST) and `card_country` are what the gateway says; `email_key` and `address_key` are those
    of `keys`, by which orders can be compared.
    """

    order_id: UUID
    user_id: str
    email: str
    email_key: str
    shipping_address: Mapping[str, Any] | None
    address_key: str
    currency: str
    total_minor: int
    payment_method: str
    placed_at: datetime
    risk: str
    card_country: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Why an order should be looked at, or not be accepted: one sentence without a full stop, for staff."""

    verdict: Verdict
    reason: str


class Checker(Protocol):
    """A function that looks at orders. An order that is missing from its answer has passed."""

    def __call__(self, orders: Sequence[Facts], *, now: datetime) -> Mapping[UUID, Sequence[Finding]]: ...
