"""The saga's dealings with the vault."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from inventory import services as inventory
from inventory.selectors import holds_of
from inventory.services import HoldRequest, HoldResult, Line
from marketplace.sagas.foresight import foretell
from marketplace.sagas.outcomes import Done, Outcome, Parked, Refused
from marketplace.sagas.ticket import Ticket
from orders.desk import OpenOrder
from orders.sagas.bank import HOLD_MARGIN


def _requests(tickets: Sequence[Ticket], expires_at: datetime) -> list[HoldRequest]:
    return [HoldRequest(ticket.subject.order.id, ticket.subject.stock_lines, expires_at) for ticket in tickets]


def _lock(tickets: Sequence[Ticket]) -> None:
    """Lock what this transaction may move, for these tickets and for all the others in it, in order."""
    tickets[0].subject.desk.lock_stock(tickets)


def _items(lines: Sequence[Line]) -> list[dict[str, Any]]:
    return [{"sku": line.sku, "quantity": line.quantity} for line in lines]


def _units(lines: Sequence[Line]) -> str:
    units = sum(line.quantity for line in lines)
    return "1 unit" if units == 1 else f"{units} units"


def validate(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Refuse at once what can't be had. A hint only, without a lock: `reserve` decides."""
    return [_validated(t, result) for t, result in zip(tickets, inventory.check(_requests(tickets, now)), strict=True)]


def _validated(ticket: Ticket, result: HoldResult) -> Outcome:
    return _IN_STOCK if result.held else _short(ticket.subject, result)


_IN_STOCK: Final = Done(message="Everything is in stock.")


def reserve(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Hold the units of every order that fits, for RESERVATION_TTL_SECONDS; the oldest saga first."""
    until = now + timedelta(seconds=settings.RESERVATION_TTL_SECONDS)
    _lock(tickets)
    results = inventory.reserve(_requests(tickets, until), now=now)
    told = f"until {until:%H:%M:%S} UTC"  # the same for all of them
    return [_reserved(ticket.subject, result, until, told) for ticket, result in zip(tickets, results, strict=True)]


def _reserved(opened: OpenOrder, result: HoldResult, until: datetime, told: str) -> Outcome:
    if not result.held:
        return _short(opened, result)
    units = _units(opened.stock_lines)
    opened.held_until = result.until
    opened.change("reserve", f"{units} held {told}.", until=until)
    opened.tell("INVENTORY_RESERVED", items=_items(opened.stock_lines), expires_at=until)
    opened.tell("ORDER_RESERVED", reserved_until=until)
    return Done(message=f"{units} held.")


def reserve_again(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Hold the units of orders anew that had let go of them; the order itself does not change by that."""
    until = now + timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS) + HOLD_MARGIN
    _lock(tickets)
    results = inventory.reserve_again(_requests(tickets, until), now=now)
    return [_reserved_again(ticket.subject, result, until) for ticket, result in zip(tickets, results, strict=True)]


def _reserved_again(opened: OpenOrder, result: HoldResult, until: datetime) -> Outcome:
    if not result.held:
        return _short(opened, result)
    opened.tell("INVENTORY_RESERVED", items=_items(opened.stock_lines), expires_at=until)
    units = sum(line.quantity for line in opened.lines)
    return Done(message=f"{units} unit{'s' * (units != 1)} held anew.")


def _short(opened: OpenOrder, result: HoldResult) -> Outcome:
    names = {line.sku: line.product_name for line in opened.lines}
    shortages = [
        {"sku": short.sku, "name": names.get(short.sku, short.sku), "asked": short.asked, "available": short.available}
        for short in result.shortages
    ]
    opened.tell("INVENTORY_REJECTED", shortages=shortages)
    return Refused("out_of_stock", "Out of stock.", {"shortages": shortages})


def release(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Give the held units back; safe where nothing was held. A hold that ran out is on record as EXPIRED."""
    expired = [ticket for ticket in tickets if _has_expired(ticket)]
    others = [ticket for ticket in tickets if not _has_expired(ticket)]
    released: dict[UUID, tuple[Line, ...]] = {}
    for group, give_back in ((expired, inventory.expire), (others, inventory.release)):
        if group:
            _lock(group)
            released |= give_back([ticket.subject_id for ticket in group], now=now)
    return [_released(ticket.subject, released.get(ticket.subject_id, ())) for ticket in tickets]


def _has_expired(ticket: Ticket) -> bool:
    return ticket.cause is not None and ticket.cause.code == "reservation_expired"


def _released(opened: OpenOrder, lines: tuple[Line, ...]) -> Outcome:
    if not lines:
        return Done(message="Nothing was held.")
    opened.tell("INVENTORY_RELEASED", items=_items(lines))
    return Done(message=f"{_units(lines)} put back.")


def reserved_until(ticket: Ticket) -> datetime:
    """When the hold of this order ends, and with it the time to pay."""
    until: datetime = ticket.subject.order.reserved_until
    return until


def sell_and_confirm(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Sell the units and confirm the orders, in one transaction."""
    sold = sell(tickets, now=now)
    return [confirmed(ticket.subject, sold=ticket.subject_id in sold) for ticket in tickets]


def sell(tickets: Sequence[Ticket], *, now: datetime) -> set[UUID]:
    """Answer the orders whose units are sold. They leave the stock when all else is written (`Desk.finish`)."""
    committed = inventory.commit([ticket.subject_id for ticket in tickets], now=now)
    tickets[0].subject.desk.to_take_out += committed.units
    return committed.owners


def confirmed(opened: OpenOrder, *, sold: bool) -> Outcome:
    """Confirm an order whose units are `sold`."""
    if not sold:
        return Parked("The payment is captured, but the units are no longer held for this order.")
    opened.change("confirm", "Payment captured, units sold.")
    items = _items(opened.stock_lines)
    opened.tell("INVENTORY_COMMITTED", items=items)
    opened.tell("ORDER_CONFIRMED", items=items)
    return _STANDS


_STANDS: Final = Done(message="The order stands.")


def take_back(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Put the units that were sold back on the shelf."""
    _lock(tickets)
    back = inventory.restock([ticket.subject_id for ticket in tickets], now=now, reason="order taken back")
    return [_taken_back(ticket.subject, back.get(ticket.subject_id, ())) for ticket in tickets]


def _taken_back(opened: OpenOrder, lines: tuple[Line, ...]) -> Outcome:
    if not lines:
        return Parked("No units of this order are sold, although it stands.")
    opened.tell("INVENTORY_RESTOCKED", items=_items(lines))
    return Done(message=f"{_units(lines)} back on the shelf.")


def release_foreseen(tickets: Sequence[Ticket]) -> list[str]:
    """Say which units `release` would put back, by SKU. Reads only."""
    return [_would_put_back(ticket) for ticket in tickets]


def _would_put_back(ticket: Ticket) -> str:
    held = [hold for hold in holds_of(ticket.subject_id) if hold.state == "HELD"]
    if not held:
        return "Nothing is held, so nothing is put back."
    return f"Put back {', '.join(f'{hold.quantity} of {hold.sku}' for hold in held)}."


foretell(release, by=release_foreseen)
