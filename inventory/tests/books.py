"""What tests ask of the books, and how they phrase a hold."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from inventory.models import LedgerEntry, Reservation, Stock
from inventory.selectors import stock_discrepancies
from inventory.services import HoldRequest, Line, commit, take_out
from marketplace.kernel.ids import new_id

EXPIRY = datetime(2026, 5, 4, 12, 15, tzinfo=UTC)


def wants(*lines: tuple[str, int], owner: UUID | None = None, expires_at: datetime = EXPIRY) -> HoldRequest:
    """`wants(("lamp", 2), ("mug", 1))`, for a new owner unless one is named."""
    return HoldRequest(owner or new_id(), tuple(Line(sku, quantity) for sku, quantity in lines), expires_at)


def sell(owner_ids: Sequence[UUID], *, now: datetime) -> set[UUID]:
    """Both halves of a sale, one right after the other; answer the owners whose units are sold."""
    committed = commit(owner_ids, now=now)
    take_out(committed.units, now=now)
    return committed.owners


def levels(sku: str) -> tuple[int, int, int]:
    """(on hand, available, reserved) of a SKU, after a look at whether all the books agree."""
    assert stock_discrepancies() == []
    return Stock.objects.values_list("on_hand", "available", "reserved").get(pk=sku)


def ledger(sku: str) -> list[tuple[str, int, int]]:
    """Every change of a SKU as (kind, available, reserved), oldest first."""
    rows = LedgerEntry.objects.filter(sku=sku).order_by("id")
    return list(rows.values_list("kind", "available_delta", "reserved_delta"))


def states() -> Counter[str]:
    """How many reservation rows there are in each state."""
    return Counter(Reservation.objects.values_list("state", flat=True))


def later(minutes: int) -> datetime:
    return EXPIRY + timedelta(minutes=minutes)
