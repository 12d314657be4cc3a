"""Reading returns: those of an order, and what of it can still be returned."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import F, Sum

from orders.models import OrderLine, Status, TimelineEntry
from orders.returns.errors import UnknownReturn
from orders.returns.models import BACK, OPEN, Return, ReturnLine


@dataclass(frozen=True, slots=True)
class ReturnedLine:
    """One line of a return; the price is per unit, in minor units."""

    sku: str
    product_name: str
    quantity: int
    price_minor: int
    restocked: int
    written_off: int

    @property
    def received(self) -> int:
        """How many units came back."""
        return self.restocked + self.written_off


@dataclass(frozen=True, slots=True)
class ReturnView:
    """A return as the rest of the system sees it. Amounts are in minor units of `currency`."""

    id: UUID
    order_id: UUID
    number: str
    status: str
    saga_id: UUID
    reason: str
    requested_by: str
    requested_at: datetime
    answer_by: datetime
    verdict: str
    decided_by: str
    decided_at: datetime | None
    decision_reason: str
    arrive_by: datetime | None
    received_by: str
    received_at: datetime | None
    receipt_note: str
    refunded_minor: int
    closed_at: datetime | None
    currency: str
    lines: tuple[ReturnedLine, ...]

    @property
    def asked_minor(self) -> int:
        """What all that was asked for is worth."""
        return sum(line.price_minor * line.quantity for line in self.lines)

    @property
    def due_minor(self) -> int:
        """What the units that came back are worth."""
        return sum(line.price_minor * line.received for line in self.lines)

    @property
    def buyer_reads(self) -> str:
        """What staff answered, where the buyer is to read it: why it was rejected."""
        if self.status != "REJECTED":
            return ""
        return self.decision_reason if self.verdict == "REJECTED" else self.receipt_note

    @property
    def is_open(self) -> bool:
        """Whether something is still to happen."""
        return self.status in OPEN

    @property
    def can_be_decided(self) -> bool:
        """Whether staff may approve or reject it, and the buyer withdraw it; the service has the last word."""
        return self.status == "REQUESTED" and not self.verdict

    @property
    def can_be_received(self) -> bool:
        """Whether staff may say what came back; the service has the last word."""
        return self.is_open and self.verdict == "APPROVED" and self.received_at is None


@dataclass(frozen=True, slots=True)
class Returnable:
    """One line of an order of which `left` units can still be sent back."""

    sku: str
    product_name: str
    left: int
    price_minor: int


_FIELDS: Final = (
    "id", "order_id", "status", "saga_id", "reason", "requested_by", "requested_at", "answer_by", "verdict",
    "decided_by", "decided_at", "decision_reason", "arrive_by", "received_by", "received_at", "receipt_note",
    "refunded_minor", "closed_at",
)  # fmt: skip


def number_of(order_number: str, sequence: int) -> str:
    """Return the number that people call a return by."""
    return f"{order_number}-R{sequence}"


def views(rows: Iterable[Return]) -> list[ReturnView]:
    """Make the views of loaded returns, in their order; their orders should be loaded too. One query."""
    rows = list(rows)
    lines: dict[UUID, list[ReturnedLine]] = {}
    for line in ReturnLine.objects.filter(request__in=rows).order_by("position"):
        of_it = lines.setdefault(line.request_id, [])
        told = (line.sku, line.product_name, line.quantity, line.price_minor, line.restocked, line.written_off)
        of_it.append(ReturnedLine(*told))
    return [
        ReturnView(
            **{name: getattr(row, name) for name in _FIELDS},
            number=number_of(row.order.number, row.sequence),
            currency=row.order.currency,
            lines=tuple(lines.get(row.id, ())),
        )
        for row in rows
    ]


def returns_by_id(return_ids: Collection[UUID]) -> dict[UUID, ReturnView]:
    """Return these returns by their ids. Two queries."""
    rows = Return.objects.select_related("order").filter(pk__in=list(return_ids))
    return {view.id: view for view in views(rows)}


def get(return_id: UUID) -> ReturnView:
    """Return one return; raises `UnknownReturn`."""
    found = returns_by_id([return_id])
    if return_id not in found:
        raise UnknownReturn
    return found[return_id]


def one_of(order_id: UUID, return_id: UUID) -> ReturnView:
    """Return one return of this order; raises `UnknownReturn`, also where it is another order's."""
    view = get(return_id)
    if view.order_id != order_id:
        raise UnknownReturn
    return view


def returns_of(order_id: UUID) -> list[ReturnView]:
    """Return the returns of an order, the first one first. Two queries."""
    return views(Return.objects.select_related("order").filter(order_id=order_id).order_by("sequence"))


def term_ends_at(order_id: UUID) -> datetime | None:
    """Until when something of this order can be returned: RETURN_DAYS after we knew it delivered; None before that.

    By the database's clock, as everything that ends: the carrier's own date may be earlier than we were told.
    """
    told = TimelineEntry.objects.filter(order_id=order_id, to_status=Status.DELIVERED)
    at = told.exclude(from_status=Status.DELIVERED).values_list("at", flat=True).first()
    return None if at is None else at + timedelta(days=settings.RETURN_DAYS)


def returnable(order_id: UUID) -> list[Returnable]:
    """Return the lines of an order of which something is left: bought, and not come back by an earlier return.

    What is open counts as nothing: while it is, no other can be asked for. Two queries.
    """
    back = ReturnLine.objects.filter(request__order_id=order_id, request__status__in=BACK).values_list("sku")
    gone = dict(back.annotate(units=Sum(F("restocked") + F("written_off"))))
    lines = OrderLine.objects.filter(order_id=order_id).order_by("position")
    found = [(one, one.quantity - gone.get(one.sku, 0)) for one in lines]
    return [Returnable(one.sku, one.product_name, left, one.price_minor) for one, left in found if left > 0]
