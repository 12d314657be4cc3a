"""Whatever happens in whatever order: the services agree with a model of a few lines, and the books with themselves."""

from dataclasses import dataclass, field

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory.models import Reservation
from inventory.services import adjust, expire, extend, receive, release, reserve, restock
from inventory.tests.books import later, levels, sell, wants
from marketplace.kernel.ids import new_id

pytestmark = pytest.mark.django_db

SKUS = ("lamp", "mug", "rug")
OWNERS = [new_id() for _ in range(5)]

owners = st.lists(st.sampled_from(range(len(OWNERS))), min_size=1, max_size=4)
lines = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 4)), min_size=1, max_size=4)
baskets = st.lists(lines, min_size=len(OWNERS), max_size=len(OWNERS))  # what an owner wants never changes
events = st.one_of(
    st.tuples(st.sampled_from(["reserve", "release", "expire", "commit", "restock", "extend"]), owners),
    st.tuples(st.sampled_from(["receive", "adjust"]), st.sampled_from(SKUS)),
)


@dataclass
class Shelf:
    """The vault in plain Python."""

    available: dict[str, int]
    asked: dict[int, dict[str, int]]
    states: dict[int, str] = field(default_factory=dict)

    def reserve(self, owner: int) -> bool:
        if owner in self.states:
            return self.states[owner] in {"HELD", "COMMITTED"}
        if any(units > self.available[sku] for sku, units in self.asked[owner].items()):
            return False
        self.states[owner] = "HELD"
        self._give(owner, -1)
        return True

    def move(self, owner: int, *, leaves: str, enters: str, comes_back: bool) -> bool:
        if self.states.get(owner) != leaves:
            return False
        self.states[owner] = enters
        if comes_back:
            self._give(owner, +1)
        return True

    def reserved(self, sku: str) -> int:
        return sum(self.asked[owner].get(sku, 0) for owner, state in self.states.items() if state == "HELD")

    def _give(self, owner: int, sign: int) -> None:
        for sku, units in self.asked[owner].items():
            self.available[sku] += sign * units


MOVES = {
    "release": (release, {"leaves": "HELD", "enters": "RELEASED", "comes_back": True}),
    "expire": (expire, {"leaves": "HELD", "enters": "EXPIRED", "comes_back": True}),
    "restock": (restock, {"leaves": "COMMITTED", "enters": "RELEASED", "comes_back": True}),
}


def happen(shelf: Shelf, basket: list, what: str, whom, now) -> None:
    """Let one event happen to the shelf and to the real thing; they must answer the same."""
    if what == "receive":
        shelf.available[whom] += 3
        receive(sku=whom, quantity=3, now=now, actor="tests", reason="")
        return
    if what == "adjust":
        if shelf.available[whom]:
            shelf.available[whom] -= 1
            adjust(sku=whom, delta=-1, now=now, actor="tests", reason="")
        return
    ids = [OWNERS[owner] for owner in whom]
    if what == "reserve":
        results = reserve([wants(*basket[owner], owner=OWNERS[owner]) for owner in whom], now=now)
        assert [result.held for result in results] == [shelf.reserve(owner) for owner in whom]
    elif what == "extend":
        expected = {OWNERS[owner] for owner in whom if shelf.states.get(owner) == "HELD"}
        assert extend(ids, until=later(5)) == expected
    elif what == "commit":
        for owner in whom:
            shelf.move(owner, leaves="HELD", enters="COMMITTED", comes_back=False)
        expected = {OWNERS[owner] for owner in whom if shelf.states.get(owner) == "COMMITTED"}
        assert sell(ids, now=now) == expected
    else:
        call, move = MOVES[what]
        moved = {OWNERS[owner] for owner in whom if shelf.move(owner, **move)}
        extra = {"reason": "tests"} if call is restock else {}
        answer = call(ids, now=now, **extra)
        assert set(answer) == moved
        for owner in whom:
            if OWNERS[owner] in moved:
                assert {line.sku: line.quantity for line in answer[OWNERS[owner]]} == shelf.asked[owner]


@given(stock=st.tuples(*[st.integers(0, 8)] * len(SKUS)), basket=baskets, history=st.lists(events, max_size=12))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_every_history_ends_with_books_that_agree(stocked, now, stock, basket, history):
    asked = {owner: {} for owner in range(len(OWNERS))}
    for owner, wanted in enumerate(basket):
        for sku, units in wanted:
            asked[owner][sku] = asked[owner].get(sku, 0) + units
    shelf = Shelf(dict(zip(SKUS, stock, strict=True)), asked)
    with transaction.atomic():
        for sku, units in shelf.available.items():
            stocked(sku, units)
        for what, whom in history:
            happen(shelf, basket, what, whom, now)
            for sku in SKUS:
                reserved, available = shelf.reserved(sku), shelf.available[sku]
                if available or reserved:
                    assert levels(sku) == (available + reserved, available, reserved)
        kept = dict(Reservation.objects.values_list("owner_id", "state"))
        assert kept == {OWNERS[owner]: state for owner, state in shelf.states.items()}
        transaction.set_rollback(True)
