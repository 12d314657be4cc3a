"""The vault: hold units for an owner, give them back, sell them, take them in.

An owner is whoever units are held for, known only by its id (an order's). Everything an owner asks for is held together
or not at all, and moves on together. The functions that sagas use take any number of owners and run the same few
statements for all of them; they need the caller's transaction and keep to the order of `inventory.locks`.

    reserve   available -> reserved         release, expire   reserved -> available
    commit    reserved -> out of the house  restock           back into the house, available
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction

from inventory import movements
from inventory.errors import InvalidQuantity, NotEnoughAvailable, NotSold, StockMoved, UnknownProduct
from inventory.locks import lock_stock, needs_transaction
from inventory.models import LedgerEntry, Product, Reservation, Stock
from marketplace.kernel import bulk
from marketplace.kernel.arrays import Texts, Uuids

_State = Reservation.State

MOST_AT_ONCE = 1_000_000  # units taken in or adjusted by hand in one go; more is a slip of the finger


@dataclass(frozen=True, slots=True)
class Line:
    """So many units of a SKU. The quantity is positive."""

    sku: str
    quantity: int

    def __post_init__(self) -> None:
        if self.quantity < 1:
            raise InvalidQuantity(sku=self.sku, quantity=self.quantity)


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """What `owner_id` wants kept until `expires_at`: always the same lines. Several lines of one SKU are summed."""

    owner_id: UUID
    lines: tuple[Line, ...]
    expires_at: datetime

    def __post_init__(self) -> None:
        if not self.lines:
            raise InvalidQuantity("A hold needs at least one line.", owner_id=self.owner_id)


@dataclass(frozen=True, slots=True)
class Shortage:
    """A SKU that did not suffice: how many units were asked for in all, and how many there were to give."""

    sku: str
    asked: int
    available: int


@dataclass(frozen=True, slots=True)
class HoldResult:
    """Whether an owner holds what it asked for. Not held and no shortages: its hold has been released or has lapsed.

    `until`: when it ends, of a hold that was made just now; None for one that was there already.
    """

    owner_id: UUID
    held: bool
    shortages: tuple[Shortage, ...] = ()
    until: datetime | None = field(default=None, compare=False)


_LEVELS_AND_STATES = """
SELECT sku, available, NULL, NULL FROM inventory_stock WHERE sku = ANY(%b::text[])
UNION ALL SELECT NULL, NULL, owner_id, state FROM inventory_reservation WHERE owner_id = ANY(%b::uuid[])
"""


def check(requests: Sequence[HoldRequest]) -> list[HoldResult]:
    """Say for each request whether it would fit right now, each on its own. Takes no locks, so it is only a hint."""
    if not requests:
        return []
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(_LEVELS_AND_STATES, [Texts(_skus(requests)), Uuids([request.owner_id for request in requests])])
        found = cursor.fetchall()
    levels = {sku: available for sku, available, _, _ in found if sku is not None}
    known = {owner_id: state for sku, _, owner_id, state in found if sku is None}
    return [_already(known, r.owner_id) or _answer(r, _sum_lines(r), levels) for r in requests]


def lock_for(skus: Iterable[str]) -> None:
    """Lock the stock of all `skus` before the first call that moves any of them, where there will be several calls.

    Needs the caller's transaction. See `inventory.locks`: each call locks what it moves in order, but not the two of
    them together.
    """
    lock_stock(skus)


def reserve(requests: Sequence[HoldRequest], *, now: datetime) -> list[HoldResult]:
    """Hold units for each request that fits, in the order given while stock lasts; one result per request.

    Idempotent by owner: one that holds already (or has bought) is answered `held` and nothing moves; one whose hold was
    released or has lapsed is refused. Refusals are answers, not errors; a refused owner may ask again.
    Needs the caller's transaction; locks the stock rows of all SKUs asked for until it ends.
    """
    if not requests:
        return []
    levels = lock_stock(_skus(requests))
    results, rows = _grant(requests, dict(levels), known={})
    if all(result.held for result in results) and movements.hold(rows, now=now):
        return results
    known = _states([request.owner_id for request in requests])  # after the lock: sees what its last holder wrote
    results, rows = _grant(requests, levels, known)
    if not movements.hold(rows, now=now):
        raise RuntimeError("An owner that has no hold has got one under our locks.")
    return results


def reserve_again(requests: Sequence[HoldRequest], *, now: datetime) -> list[HoldResult]:
    """Do what `reserve` does also for owners that have let go of their hold, or whose hold has lapsed.

    For an owner that comes back on purpose, after whoever released its units is done with it for good: the reservation
    itself lives again, for the same lines. Needs the caller's transaction; locks like `reserve`.
    """
    levels = lock_stock(_skus(requests))
    known = _states([request.owner_id for request in requests])
    gone = {owner_id: state for owner_id, state in known.items() if state in (_State.RELEASED, _State.EXPIRED)}
    there = {owner_id: state for owner_id, state in known.items() if owner_id not in gone}
    results, rows = _grant(requests, levels, there)
    if not movements.hold([row for row in rows if row[0] not in gone], now=now):
        raise RuntimeError("An owner that has no hold has got one under our locks.")
    back = {owner_id: expires_at for owner_id, _, _, expires_at in rows if owner_id in gone}
    for movement in movements.HOLD_AGAIN:
        _move(movement, [owner_id for owner_id in back if gone[owner_id] == movement.leaves], now=now)
    for expires_at in sorted(set(back.values())):
        movements.extend([owner_id for owner_id, until in back.items() if until == expires_at], until=expires_at)
    return results


def extend(owner_ids: Sequence[UUID], *, until: datetime) -> set[UUID]:
    """Keep the live holds of `owner_ids` at least until `until` (never less long); return the owners that hold.

    An owner that is missing from the answer has no hold any more: released, lapsed, sold, or never made.
    Needs the caller's transaction; locks the owners' reservations, no stock, so it comes after calls that move stock.
    """
    return movements.extend(owner_ids, until=until) if owner_ids else set()


def release(owner_ids: Sequence[UUID], *, now: datetime) -> dict[UUID, tuple[Line, ...]]:
    """Give back what `owner_ids` hold; return, per owner, only what was given back by this very call.

    Safe to repeat, and safe for owners that never held anything. Needs the caller's transaction; locks the stock rows
    of the SKUs held.
    """
    return _move(movements.RELEASE, owner_ids, now=now)


def expire(owner_ids: Sequence[UUID], *, now: datetime) -> dict[UUID, tuple[Line, ...]]:
    """Give back the holds of owners whose time is up; as `release`, but the record says EXPIRED.

    That the time is up is the caller's decision (its saga may have been paid in the meantime); `expires_at` is not
    looked at again.
    """
    return _move(movements.EXPIRE, owner_ids, now=now)


class Committed(NamedTuple):
    """Who has bought what: the `owners` whose units are sold, and the `units` that have still to leave the stock."""

    owners: set[UUID]
    units: list[tuple[UUID, str, int]]  # owner, SKU, quantity


def commit(owner_ids: Sequence[UUID], *, now: datetime) -> Committed:
    """Sell what `owner_ids` hold. An owner that is not among the answer's had nothing left to sell.

    An owner that has bought already is among them, and nothing moves. Needs the caller's transaction; locks the owners'
    reservations and no stock. The units have to be taken out by `take_out` before it ends, best as the last thing: so
    nobody who sells the same product waits for all else that is to be written.
    """
    if not owner_ids:
        return Committed(set(), [])
    needs_transaction()
    units = movements.commit(owner_ids, now=now)
    sold = {owner_id for owner_id, _, _ in units}
    others = [owner_id for owner_id in owner_ids if owner_id not in sold]
    states = _states(others) if others else {}
    return Committed(sold | {owner_id for owner_id, state in states.items() if state == _State.COMMITTED}, units)


def take_out(units: Sequence[tuple[UUID, str, int]], *, now: datetime) -> None:
    """Take the `units` out of stock that `commit` has sold in this very transaction.

    Locks the stock rows of their SKUs: with calls that move stock in the same transaction, see `lock_for`.
    """
    if units:
        needs_transaction()
        movements.take_out(units, now=now)


def restock(owner_ids: Sequence[UUID], *, now: datetime, reason: str) -> dict[UUID, tuple[Line, ...]]:
    """Put sold units of `owner_ids` back on the shelf; return, per owner, only what came back by this very call.

    Needs the caller's transaction; locks the stock rows of the SKUs sold. `reason` goes into the ledger.
    """
    return _move(movements.RESTOCK, owner_ids, now=now, reason=reason)


def restock_part(parts: Mapping[UUID, Sequence[Line]], *, now: datetime, reason: str) -> None:
    """Put some of the sold units of each owner back on the shelf: those came back, the rest stays sold.

    Every call is another parcel: it does not know whether it was made before, so it belongs into the transaction that
    also says it was. An owner's lines name each SKU once. All or nothing: raises `NotSold` where an owner has not that
    many units of a SKU that are sold and not back yet. Needs the caller's transaction; locks the stock rows of the
    SKUs. `reason` goes into the ledger.
    """
    needs_transaction()
    rows = [(owner_id, line.sku, line.quantity) for owner_id, lines in parts.items() for line in lines]
    moved = movements.restock_part(rows, now=now, reason=reason) if rows else []
    back = {(owner_id, sku) for owner_id, sku, _ in moved}
    for owner_id, sku, quantity in rows:
        if (owner_id, sku) not in back:
            raise NotSold(owner_id=str(owner_id), sku=sku, quantity=quantity)


@transaction.atomic
def receive(*, sku: str, quantity: int, now: datetime, actor: str, reason: str) -> None:
    """Take `quantity` new units of `sku` in. Its own transaction.

    Raises `UnknownProduct`, or `InvalidQuantity` when the quantity is not between 1 and a million.
    """
    if not 1 <= quantity <= MOST_AT_ONCE:
        raise InvalidQuantity(sku=sku, quantity=quantity)
    _lock_by_hand(sku)
    movements.change_by_hand(LedgerEntry.Kind.RECEIVE, {sku: quantity}, now=now, actor=actor, reason=reason)


@transaction.atomic
def adjust(*, sku: str, delta: int, now: datetime, actor: str, reason: str) -> None:
    """Correct the stock of `sku` by `delta` units after a count: found (positive) or lost (negative).

    Its own transaction. Held units can't be taken away. Raises `UnknownProduct`, `InvalidQuantity` (zero, or over a
    million), or `NotEnoughAvailable`.
    """
    if not 1 <= abs(delta) <= MOST_AT_ONCE:
        raise InvalidQuantity(sku=sku, quantity=delta)
    available = _lock_by_hand(sku)
    if available + delta < 0:
        raise NotEnoughAvailable(sku=sku, available=available, asked=-delta)
    movements.change_by_hand(LedgerEntry.Kind.ADJUST, {sku: delta}, now=now, actor=actor, reason=reason)


@transaction.atomic
def count(*, sku: str, counted: int, believed: int, now: datetime, actor: str, reason: str) -> int:
    """Correct the stock of `sku` to the `counted` units that are on hand; return by how many it was corrected.

    `counted` has all units in the house, also those held for orders. `believed` is what the books said was on hand when
    the count began: where they say something else by now, units have come or gone meanwhile, and nobody can tell
    whether they were counted. Its own transaction.

    Raises `UnknownProduct`, `InvalidQuantity` (below zero, or over a million), `StockMoved`, or `NotEnoughAvailable`
    when fewer were counted than are held for orders.
    """
    if not 0 <= counted <= MOST_AT_ONCE:
        raise InvalidQuantity("A count is a whole number from 0 to a million.", sku=sku, quantity=counted)
    available = _lock_by_hand(sku)
    on_hand, reserved = Stock.objects.values_list("on_hand", "reserved").get(product_id=sku)
    if on_hand != believed:
        raise StockMoved(sku=sku, believed=believed, on_hand=on_hand)
    delta = counted - on_hand
    if available + delta < 0:
        raise NotEnoughAvailable(f"{reserved} are held for orders.", sku=sku, available=available, asked=-delta)
    if delta:
        movements.change_by_hand(LedgerEntry.Kind.ADJUST, {sku: delta}, now=now, actor=actor, reason=reason)
    return delta


def _lock_by_hand(sku: str) -> int:
    """Lock the stock row of one SKU, made if the product has none yet; return how many units are available."""
    if not Product.objects.filter(sku=sku).exists():
        raise UnknownProduct(sku=sku)
    Stock.objects.bulk_create([Stock(product_id=sku)], ignore_conflicts=True)
    return lock_stock([sku])[sku]


def _skus(requests: Iterable[HoldRequest]) -> list[str]:
    return list({line.sku for request in requests for line in request.lines})


def _sum_lines(request: HoldRequest) -> dict[str, int]:
    """How many units of each SKU `request` asks for in all, in the order of its lines."""
    asked: dict[str, int] = {}
    for line in request.lines:
        asked[line.sku] = asked.get(line.sku, 0) + line.quantity
    return asked


def _grant(
    requests: Sequence[HoldRequest], levels: dict[str, int], known: dict[UUID, str]
) -> tuple[list[HoldResult], list[tuple[UUID, str, int, datetime]]]:
    """Answer the requests in their order, from `levels` while they last; return also the holds to be written for that.

    `known`: the states of the owners that have, or had, a hold already. What is granted is taken off `levels`.
    """
    results: list[HoldResult] = []
    rows: list[tuple[UUID, str, int, datetime]] = []
    granted: dict[UUID, str] = dict(known)
    for request in requests:
        asked = _sum_lines(request)
        result = _already(granted, request.owner_id) or _answer(request, asked, levels)
        results.append(result)
        if result.held and request.owner_id not in granted:
            granted[request.owner_id] = _State.HELD
            for sku, quantity in asked.items():
                levels[sku] -= quantity
                rows.append((request.owner_id, sku, quantity, request.expires_at))
    return results, rows


def _answer(request: HoldRequest, asked: dict[str, int], levels: dict[str, int]) -> HoldResult:
    """Say whether what is `asked` for fits into the `levels` that are left."""
    shortages = tuple(
        Shortage(sku, quantity, levels.get(sku, 0)) for sku, quantity in asked.items() if quantity > levels.get(sku, 0)
    )
    return HoldResult(request.owner_id, not shortages, shortages, None if shortages else request.expires_at)


def _already(known: dict[UUID, str], owner_id: UUID) -> HoldResult | None:
    """The answer for an owner that has, or had, a hold; None for all others."""
    state = known.get(owner_id)
    return None if state is None else HoldResult(owner_id, state in {_State.HELD, _State.COMMITTED})


def _states(owner_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The state of each owner's hold, for the owners that ever had one. All its lines are in the same."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT owner_id, state FROM inventory_reservation WHERE owner_id = ANY(%s::uuid[])", [list(owner_ids)]
        )
        return dict(cursor.fetchall())


def _move(
    movement: movements.Movement, owner_ids: Sequence[UUID], *, now: datetime, reason: str = ""
) -> dict[UUID, tuple[Line, ...]]:
    """Move on what `owner_ids` have in the state that `movement` leaves; return what moved, by owner, in SKU order."""
    if not owner_ids:
        return {}
    needs_transaction()
    moved: dict[UUID, tuple[Line, ...]] = {}
    for owner_id, sku, quantity in movements.move(movement, owner_ids, now=now, reason=reason):
        moved[owner_id] = (*moved.get(owner_id, ()), Line(sku, quantity))
    return moved
