import pytest
from django.db import transaction

from inventory.errors import InvalidQuantity, NotEnoughAvailable, StockMoved, UnknownProduct
from inventory.models import LedgerEntry, Product, Reservation, Stock
from inventory.services import (
    HoldRequest,
    HoldResult,
    Line,
    Shortage,
    adjust,
    check,
    count,
    expire,
    extend,
    receive,
    release,
    reserve,
    reserve_again,
    restock,
)
from inventory.tests.books import EXPIRY, later, ledger, levels, sell, states, wants
from marketplace.kernel.ids import new_id

pytestmark = pytest.mark.django_db


def hold(*requests, now):
    with transaction.atomic():
        return reserve(requests, now=now)


# --- reserve ----------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_reserve_moves_available_to_reserved(stocked, now):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    assert hold(request, now=now) == [HoldResult(request.owner_id, held=True)]
    assert levels("lamp") == (5, 3, 2)
    assert ledger("lamp") == [("RECEIVE", 5, 0), ("RESERVE", -2, 2)]
    row = Reservation.objects.get()
    assert (row.owner_id, row.sku, row.quantity, row.state) == (request.owner_id, "lamp", 2, "HELD")
    assert (row.expires_at, row.created_at, row.updated_at) == (EXPIRY, now, now)
    entry = LedgerEntry.objects.get(kind="RESERVE")
    assert (entry.owner_id, entry.created_at, entry.actor) == (request.owner_id, now, "")


@pytest.mark.core
def test_stock_is_granted_in_the_order_of_requests_while_it_lasts(stocked, now):
    stocked("lamp", 5)
    requests = [wants(("lamp", 2)), wants(("lamp", 4)), wants(("lamp", 3)), wants(("lamp", 1))]
    first, second, third, fourth = hold(*requests, now=now)
    assert [first.held, second.held, third.held, fourth.held] == [True, False, True, False]
    assert second.shortages == (Shortage("lamp", asked=4, available=3),)
    assert fourth.shortages == (Shortage("lamp", asked=1, available=0),)
    assert levels("lamp") == (5, 0, 5)
    assert states() == {"HELD": 2}


@pytest.mark.core
def test_an_owner_gets_everything_or_nothing(stocked, now):
    stocked("lamp", 5)
    stocked("mug", 1)
    stocked("rug", 9)
    (result,) = hold(wants(("mug", 2), ("lamp", 1), ("rug", 10)), now=now)
    assert result.held is False
    assert result.shortages == (Shortage("mug", 2, 1), Shortage("rug", 10, 9))
    assert [levels(sku) for sku in ("lamp", "mug", "rug")] == [(5, 5, 0), (1, 1, 0), (9, 9, 0)]
    assert states() == {}
    assert not LedgerEntry.objects.exclude(kind="RECEIVE").exists()


def test_units_that_a_refused_owner_did_not_get_are_there_for_the_next(stocked, now):
    stocked("lamp", 3)
    stocked("mug", 1)
    greedy, modest = wants(("lamp", 3), ("mug", 2)), wants(("lamp", 3), ("mug", 1))
    assert [result.held for result in hold(greedy, modest, now=now)] == [False, True]
    assert levels("lamp") == (3, 0, 3)


@pytest.mark.core
def test_lines_of_one_sku_are_summed(stocked, now):
    stocked("lamp", 5)
    fits, too_much = wants(("lamp", 2), ("lamp", 1)), wants(("lamp", 1), ("lamp", 1), ("lamp", 1))
    first, second = hold(fits, too_much, now=now)
    assert first.held
    assert second.shortages == (Shortage("lamp", asked=3, available=2),)
    assert levels("lamp") == (5, 2, 3)
    assert Reservation.objects.get().quantity == 3


def test_an_unknown_sku_and_one_without_stock_are_short(stocked, now):
    stocked("lamp", 5)
    stocked("mug")
    (result,) = hold(wants(("lamp", 1), ("mug", 1), ("no-such-thing", 2)), now=now)
    assert result.shortages == (Shortage("mug", 1, 0), Shortage("no-such-thing", 2, 0))
    assert levels("lamp") == (5, 5, 0)


def test_an_absurd_quantity_is_short_like_any_other(stocked, now):
    stocked("lamp", 5)
    (result,) = hold(wants(("lamp", 10**30)), now=now)
    assert result.shortages == (Shortage("lamp", 10**30, 5),)


@pytest.mark.core
def test_reserving_again_moves_nothing(stocked, now):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    for _ in range(3):
        assert hold(request, now=now) == [HoldResult(request.owner_id, held=True)]
    assert hold(request, request, now=now) == [HoldResult(request.owner_id, held=True)] * 2
    assert levels("lamp") == (5, 3, 2)
    assert states() == {"HELD": 1}


def test_only_of_a_hold_made_just_now_it_is_told_how_long_it_lasts(stocked, now):
    """One that was there already may last longer, or be sold by now: whoever needs to know has to look."""
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    assert [result.until for result in hold(request, now=now)] == [request.expires_at]
    assert [result.until for result in hold(request, now=now)] == [None]


def test_one_owner_twice_in_a_call_is_served_once(stocked, now):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    assert [result.held for result in hold(request, request, now=now)] == [True, True]
    assert levels("lamp") == (5, 3, 2)


def test_an_owner_that_holds_the_last_unit_is_not_told_that_it_is_gone(stocked, now):
    stocked("lamp", 1)
    request = wants(("lamp", 1))
    hold(request, now=now)
    assert hold(request, wants(("lamp", 1)), now=now)[0].held
    assert check([request]) == [HoldResult(request.owner_id, held=True)]


def test_an_owner_that_has_bought_already_is_answered_held(stocked, now):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    hold(request, now=now)
    with transaction.atomic():
        sell([request.owner_id], now=now)
    assert hold(request, now=now) == [HoldResult(request.owner_id, held=True)]
    assert levels("lamp") == (3, 3, 0)


@pytest.mark.core
@pytest.mark.parametrize("end", [release, expire])
def test_a_reserve_that_comes_after_its_undo_does_nothing(stocked, now, end):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    hold(request, now=now)
    with transaction.atomic():
        end([request.owner_id], now=now)
    assert hold(request, now=now) == [HoldResult(request.owner_id, held=False)]
    assert check([request]) == [HoldResult(request.owner_id, held=False)]
    assert levels("lamp") == (5, 5, 0)


def test_a_refused_owner_may_ask_again(stocked, now):
    stocked("lamp", 1)
    request = wants(("lamp", 2))
    assert not hold(request, now=now)[0].held
    receive(sku="lamp", quantity=1, now=now, actor="staff", reason="delivery")
    assert hold(request, now=now)[0].held


def test_a_line_is_of_at_least_one_unit_and_a_hold_of_at_least_one_line():
    for quantity in (0, -1):
        with pytest.raises(InvalidQuantity):
            Line("lamp", quantity)
    with pytest.raises(InvalidQuantity):
        HoldRequest(new_id(), (), EXPIRY)


@pytest.mark.parametrize("owners", [1, 200])
def test_the_number_of_statements_does_not_depend_on_the_number_of_owners(
    stocked, now, owners, django_assert_num_queries
):
    for sku in ("lamp", "mug", "rug"):
        stocked(sku, 1000)
    requests = [wants(("rug", 1), ("lamp", 2), ("mug", 1)) for _ in range(owners)]
    ids = [request.owner_id for request in requests]
    with transaction.atomic():
        for expected, call in [
            (1, lambda: check(requests)),
            (2, lambda: reserve(requests, now=now)),
            (3, lambda: reserve(requests, now=now)),
            (1, lambda: extend(ids, until=EXPIRY)),
            (2, lambda: sell(ids, now=now)),  # its two halves
            (2, lambda: sell(ids, now=now)),
            (1, lambda: restock(ids, now=now, reason="returned")),
            (1, lambda: release(ids, now=now)),
        ]:
            with django_assert_num_queries(expected):
                call()
    assert levels("lamp") == (1000, 1000, 0)


@pytest.mark.parametrize("call", [reserve, release, expire, sell])
def test_nothing_to_do_asks_the_database_nothing(call, now, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert not call([], now=now)
        assert not restock([], now=now, reason="")
        assert not extend([], until=now)
        assert not check([])


def test_a_reserve_that_is_rolled_back_leaves_nothing(stocked, now):
    stocked("lamp", 5)
    with transaction.atomic():
        reserve([wants(("lamp", 2))], now=now)
        transaction.set_rollback(True)
    assert levels("lamp") == (5, 5, 0)
    assert states() == {}


# --- check ------------------------------------------------------------------------------------------------------------


def test_check_answers_each_request_on_its_own_and_moves_nothing(stocked):
    stocked("lamp", 5)
    big, small, wrong = wants(("lamp", 5)), wants(("lamp", 3), ("lamp", 3)), wants(("no-such-thing", 1))
    assert check([big, big, small, wrong]) == [
        HoldResult(big.owner_id, held=True),
        HoldResult(big.owner_id, held=True),
        HoldResult(small.owner_id, held=False, shortages=(Shortage("lamp", 6, 5),)),
        HoldResult(wrong.owner_id, held=False, shortages=(Shortage("no-such-thing", 1, 0),)),
    ]
    assert levels("lamp") == (5, 5, 0)


# --- release, expire, commit, restock ---------------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize(("end", "state", "kind"), [(release, "RELEASED", "RELEASE"), (expire, "EXPIRED", "EXPIRE")])
def test_a_hold_is_given_back_once(stocked, now, end, state, kind):
    stocked("lamp", 5)
    stocked("mug", 2)
    request, other = wants(("mug", 1), ("lamp", 2)), wants(("lamp", 1))
    hold(request, other, now=now)
    with transaction.atomic():
        moved = end([request.owner_id, new_id()], now=later(1))
    assert moved == {request.owner_id: (Line("lamp", 2), Line("mug", 1))}
    for _ in range(2):
        with transaction.atomic():
            assert end([request.owner_id], now=later(2)) == {}
    assert levels("lamp") == (5, 4, 1)
    assert levels("mug") == (2, 2, 0)
    assert ledger("mug") == [("RECEIVE", 2, 0), ("RESERVE", -1, 1), (kind, 1, -1)]
    assert states() == {state: 2, "HELD": 1}
    assert set(Reservation.objects.filter(state=state).values_list("updated_at", flat=True)) == {later(1)}


@pytest.mark.core
def test_commit_takes_the_units_out_of_the_house(stocked, now):
    stocked("lamp", 5)
    sold, kept, gone = wants(("lamp", 2)), wants(("lamp", 1)), wants(("lamp", 1))
    hold(sold, kept, gone, now=now)
    with transaction.atomic():
        release([gone.owner_id], now=now)
    for _ in range(2):
        with transaction.atomic():
            assert sell([sold.owner_id, gone.owner_id, new_id()], now=now) == {sold.owner_id}
    assert levels("lamp") == (3, 2, 1)
    assert ledger("lamp")[-1] == ("COMMIT", 0, -2)
    assert states() == {"COMMITTED": 1, "HELD": 1, "RELEASED": 1}


def test_what_is_sold_can_not_be_released(stocked, now):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    hold(request, now=now)
    with transaction.atomic():
        sell([request.owner_id], now=now)
        assert release([request.owner_id], now=now) == {}
        assert expire([request.owner_id], now=now) == {}
    assert levels("lamp") == (3, 3, 0)


@pytest.mark.core
def test_restock_puts_sold_units_back_once(stocked, now):
    stocked("lamp", 5)
    sold, held = wants(("lamp", 2)), wants(("lamp", 1))
    hold(sold, held, now=now)
    with transaction.atomic():
        sell([sold.owner_id], now=now)
    with transaction.atomic():
        moved = restock([sold.owner_id, held.owner_id], now=later(3), reason="payment reversed")
    assert moved == {sold.owner_id: (Line("lamp", 2),)}
    with transaction.atomic():
        assert restock([sold.owner_id], now=later(4), reason="payment reversed") == {}
        assert sell([sold.owner_id], now=later(4)) == set()
    assert levels("lamp") == (5, 4, 1)
    entry = LedgerEntry.objects.get(kind="RESTOCK")
    assert (entry.owner_id, entry.available_delta, entry.reserved_delta) == (sold.owner_id, 2, 0)
    assert (entry.reason, entry.created_at) == ("payment reversed", later(3))
    assert states() == {"RELEASED": 1, "HELD": 1}


def test_many_owners_move_together_each_with_its_own_lines(stocked, now):
    stocked("lamp", 100)
    stocked("mug", 100)
    requests = [wants(("lamp", 1 + number % 3), ("mug", 1)) for number in range(20)]
    hold(*requests, now=now)
    with transaction.atomic():
        moved = release([request.owner_id for request in requests], now=now)
    assert moved == {request.owner_id: request.lines for request in requests}
    assert levels("lamp") == (100, 100, 0)


# --- extend -----------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_extend_keeps_live_holds_longer_and_never_shorter(stocked, now):
    stocked("lamp", 5)
    stocked("mug", 5)
    live, gone = wants(("lamp", 1), ("mug", 1)), wants(("lamp", 1))
    hold(live, gone, now=now)
    with transaction.atomic():
        release([gone.owner_id], now=now)
        assert extend([live.owner_id, gone.owner_id, new_id()], until=later(5)) == {live.owner_id}
        assert extend([live.owner_id], until=later(2)) == {live.owner_id}
    rows = Reservation.objects.order_by("expires_at").values_list("owner_id", "expires_at")
    assert list(rows) == [(gone.owner_id, EXPIRY), (live.owner_id, later(5)), (live.owner_id, later(5))]
    assert levels("lamp") == (5, 4, 1)


def test_what_is_sold_is_not_extended(stocked, now):
    stocked("lamp", 5)
    request = wants(("lamp", 1))
    hold(request, now=now)
    with transaction.atomic():
        sell([request.owner_id], now=now)
        assert extend([request.owner_id], until=later(5)) == set()
    assert Reservation.objects.get().expires_at == EXPIRY


# --- receive, adjust --------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_receive_takes_units_in(stocked, now):
    stocked("lamp")
    receive(sku="lamp", quantity=4, now=now, actor="staff-1", reason="delivery 17")
    receive(sku="lamp", quantity=1, now=now, actor="staff-1", reason="delivery 18")
    assert levels("lamp") == (5, 5, 0)
    entry = LedgerEntry.objects.earliest("id")
    assert (entry.kind, entry.available_delta, entry.reserved_delta) == ("RECEIVE", 4, 0)
    assert (entry.actor, entry.reason, entry.owner_id) == ("staff-1", "delivery 17", None)


def test_adjust_corrects_what_a_count_found(stocked, now):
    stocked("lamp", 5)
    hold(wants(("lamp", 2)), now=now)
    adjust(sku="lamp", delta=-3, now=now, actor="staff-1", reason="broken")
    assert levels("lamp") == (2, 0, 2)
    adjust(sku="lamp", delta=1, now=now, actor="staff-1", reason="found behind the shelf")
    assert levels("lamp") == (3, 1, 2)
    assert [entry for entry in ledger("lamp") if entry[0] == "ADJUST"] == [("ADJUST", -3, 0), ("ADJUST", 1, 0)]


def test_adjust_can_not_take_what_is_held(stocked, now):
    stocked("lamp", 5)
    hold(wants(("lamp", 2)), now=now)
    with pytest.raises(NotEnoughAvailable) as refusal:
        adjust(sku="lamp", delta=-4, now=now, actor="staff-1", reason="stolen")
    assert refusal.value.data == {"sku": "lamp", "available": 3, "asked": 4}
    assert levels("lamp") == (5, 3, 2)


def test_a_count_sets_what_is_on_hand(stocked, now):
    stocked("lamp", 5)
    hold(wants(("lamp", 2)), now=now)
    by = {"now": now, "actor": "staff-1", "reason": "yearly count"}
    assert count(sku="lamp", counted=4, believed=5, **by) == -1
    assert levels("lamp") == (4, 2, 2)
    assert count(sku="lamp", counted=4, believed=4, **by) == 0
    assert [entry for entry in ledger("lamp") if entry[0] == "ADJUST"] == [("ADJUST", -1, 0)]


def test_a_count_that_began_before_units_were_sold_is_refused(stocked, now):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    hold(request, now=now)
    with transaction.atomic():
        sell([request.owner_id], now=now)
    with pytest.raises(StockMoved) as refusal:
        count(sku="lamp", counted=5, believed=5, now=now, actor="staff-1", reason="yearly count")
    assert refusal.value.data == {"sku": "lamp", "believed": 5, "on_hand": 3}
    assert levels("lamp") == (3, 3, 0)


def test_fewer_can_not_be_counted_than_are_held(stocked, now):
    stocked("lamp", 5)
    hold(wants(("lamp", 2)), now=now)
    with pytest.raises(NotEnoughAvailable, match="2 are held for orders"):
        count(sku="lamp", counted=1, believed=5, now=now, actor="staff-1", reason="yearly count")
    assert levels("lamp") == (5, 3, 2)


@pytest.mark.parametrize("quantity", [0, -1, 1_000_001])
def test_a_slip_of_the_finger_is_refused(stocked, now, quantity):
    stocked("lamp", 5)
    with pytest.raises(InvalidQuantity):
        receive(sku="lamp", quantity=quantity, now=now, actor="staff-1", reason="")
    if quantity != -1:
        with pytest.raises(InvalidQuantity):
            adjust(sku="lamp", delta=quantity, now=now, actor="staff-1", reason="")
    assert ledger("lamp") == [("RECEIVE", 5, 0)]


def test_only_products_can_be_stocked(stocked, now):
    with pytest.raises(UnknownProduct):
        receive(sku="no-such-thing", quantity=1, now=now, actor="staff-1", reason="")
    with pytest.raises(UnknownProduct):
        adjust(sku="no-such-thing", delta=1, now=now, actor="staff-1", reason="")
    assert not Stock.objects.exists()
    assert not Product.objects.exists()


# --- reserve again ----------------------------------------------------------------------------------------------------


def hold_again(*requests, now):
    with transaction.atomic():
        return reserve_again(requests, now=now)


@pytest.mark.parametrize("let_go", [release, expire])
def test_a_hold_that_was_let_go_of_lives_again_if_the_units_are_there(stocked, now, let_go):
    stocked("lamp", 2)
    request = wants(("lamp", 2))
    hold(request, now=now)
    with transaction.atomic():
        let_go([request.owner_id], now=now)
    assert hold(request, now=now) == [HoldResult(request.owner_id, held=False)]  # by mistake it doesn't

    again = wants(("lamp", 2), owner=request.owner_id, expires_at=later(30))
    assert hold_again(again, now=now) == [HoldResult(request.owner_id, held=True)]
    assert hold_again(again, now=now) == [HoldResult(request.owner_id, held=True)]  # twice is once

    assert levels("lamp") == (2, 0, 2)
    assert ledger("lamp")[-2:] == [("RELEASE" if let_go is release else "EXPIRE", 2, -2), ("RESERVE", -2, 2)]
    row = Reservation.objects.get()
    assert (row.state, row.expires_at) == ("HELD", later(30))


def test_units_that_somebody_else_has_by_now_are_not_held_again(stocked, now):
    stocked("lamp", 2)
    first, second = wants(("lamp", 2)), wants(("lamp", 1))
    hold(first, now=now)
    with transaction.atomic():
        release([first.owner_id], now=now)
    hold(second, now=now)

    assert hold_again(first, now=now) == [HoldResult(first.owner_id, held=False, shortages=(Shortage("lamp", 2, 1),))]
    assert levels("lamp") == (2, 1, 1)


def test_those_who_come_back_and_those_who_come_anew_are_served_in_their_order(stocked, now):
    stocked("lamp", 3)
    back, anew = wants(("lamp", 2)), wants(("lamp", 1))
    hold(back, now=now)
    with transaction.atomic():
        release([back.owner_id], now=now)
    too_late = wants(("lamp", 1))

    assert [one.held for one in hold_again(back, anew, too_late, now=now)] == [True, True, False]
    assert levels("lamp") == (3, 0, 3)
    assert states() == {"HELD": 2}
