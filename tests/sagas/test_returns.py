"""Returns: from the buyer's wish to the units on the shelf and the money in the buyer's hand."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection, transaction

from inventory.models import LedgerEntry
from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.operations.auditor import audit
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import attention
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.testing import let_come
from orders import services as orders
from orders.errors import ReasonMissing
from orders.models import Order, TimelineEntry
from orders.refunds import refund
from orders.returns import selectors, services
from orders.returns.errors import (
    NotDelivered,
    NothingChosen,
    NotReturnable,
    ReturnDecided,
    ReturnNotApproved,
    ReturnOver,
    ReturnReceived,
    ReturnTermOver,
    ReturnUnderWay,
    WrongReceipt,
)
from orders.returns.services import Back
from payments.gateways.base import Dispute
from payments.models import Refund
from tests.locks import aside, waiting_for_a_lock
from tests.shop import delivered

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = {"name": "Ada", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}
SOLD = [("AUTHORIZE", 3500), ("CAPTURE", 3500)]


@pytest.fixture
def order(shop, sandbox_carrier):
    """A delivered order of two laptops at 10.00 and three mice at 5.00; the shelf is empty now."""
    shop.stocked("laptop", 2)
    shop.stocked("mouse", 3, price_minor=500)
    placed = shop.order_lines([("laptop", 2), ("mouse", 3)], address=ADDRESS)
    return delivered(shop, placed, sandbox_carrier)


@pytest.fixture(autouse=True)
def books(shop, sandbox_carrier):
    """Whatever happened: the books add up."""
    yield
    assert [str(finding) for finding in audit(ask_gateway=False).findings] == []


def ask(order, *, days=0, reason="Too loud.", **lines):
    now = database_now() + timedelta(days=days)
    return services.request(order.id, lines=lines, reason=reason, actor="user-1", now=now)


def decide(wish, verdict="APPROVED", *, actor="ada", reason="Fine."):
    return services.decide(wish.id, verdict, actor=actor, reason=reason, now=database_now())


def withdraw(wish):
    return services.withdraw(wish.id, actor="user-1", now=database_now())


def receive(wish, *, actor="wanda", reason="As new.", **back):
    return services.receive(wish.id, back=back, reason=reason, actor=actor, now=database_now())


def saga(wish):
    return SagaInstance.objects.get(subject_id=wish.id, name="return_order")


def status(wish):
    return selectors.get(wish.id).status


def returned(shop, order, **lines):
    """Ask for these, have it approved, and have them back as new."""
    wish = ask(order, **lines)
    decide(wish)
    receive(wish, **{sku: Back(restocked=units) for sku, units in lines.items()})
    shop.work()
    return wish


class TestTheWholePath:
    @pytest.mark.core
    def test_a_part_comes_back_and_its_money_goes_back(self, shop, order):
        wish = ask(order, laptop=1, mouse=2)
        assert (wish.number, wish.status, wish.asked_minor) == (f"{order.number}-R1", "REQUESTED", 2000)
        shop.work()
        decide(wish)
        shop.work()
        assert status(wish) == "APPROVED"
        receive(wish, laptop=Back(restocked=1), mouse=Back(restocked=1, written_off=1))
        shop.work()

        seen = selectors.get(wish.id)
        assert (seen.status, seen.refunded_minor, saga(wish).status) == ("REFUNDED", 2000, "COMPLETED")
        assert shop.money(order) == [*SOLD, ("REFUND", 2000)]
        assert (shop.levels("laptop"), shop.levels("mouse")) == ((1, 0), (1, 0))
        assert (shop.now(order).status, shop.now(order).refund_status) == ("DELIVERED", "PARTIALLY_REFUNDED")
        assert len(shop.now(order).papers.credit_notes) == 1
        back = (
            LedgerEntry.objects.filter(kind="RESTOCK").order_by("sku").values_list("sku", "available_delta", "owner_id")
        )
        assert list(back) == [("laptop", 1, order.id), ("mouse", 1, order.id)]
        told = OutboxEvent.objects.filter(saga_id=wish.saga_id).order_by("sequence").values_list("type", flat=True)
        assert list(told) == [
            "SAGA_STARTED",
            "RETURN_REQUESTED",
            "RETURN_APPROVED",
            "RETURN_RECEIVED",
            "INVENTORY_RESTOCKED",
            "PAYMENT_REFUNDED",
            "RETURN_REFUNDED",
            "SAGA_COMPLETED",
        ]

    def test_the_story_is_on_the_timeline(self, shop, order):
        wish = returned(shop, order, laptop=1)
        assert shop.notes(order)[-5:] == [
            f"user-1: Return {wish.number} is asked for, 1 x The laptop: Too loud.",
            f"ada: Return {wish.number} is approved: Fine.",
            f"wanda: Return {wish.number} is back, 1 back for the shelf: As new.",
            "saga: 10.00 EUR sent back to the buyer.",
            f"saga: Return {wish.number} is over: 10.00 EUR went back.",
        ]

    def test_all_of_it_in_two_returns(self, shop, order):
        first = returned(shop, order, laptop=2, mouse=1)
        assert [(line.sku, line.left) for line in selectors.returnable(order.id)] == [("mouse", 2)]
        second = returned(shop, order, mouse=2)
        assert (first.number, second.number) == (f"{order.number}-R1", f"{order.number}-R2")
        assert shop.money(order) == [*SOLD, ("REFUND", 2500), ("REFUND", 1000)]
        assert shop.now(order).refund_status == "REFUNDED"
        assert (shop.levels("laptop"), shop.levels("mouse")) == ((2, 0), (3, 0))
        with pytest.raises(NotReturnable):
            ask(order, mouse=1)

    def test_less_comes_back_than_was_asked_for(self, shop, order):
        wish = ask(order, laptop=2)
        decide(wish)
        receive(wish, laptop=Back(written_off=1), reason="One is broken, one was not in the parcel.")
        shop.work()
        assert (status(wish), shop.money(order)) == ("REFUNDED", [*SOLD, ("REFUND", 1000)])
        assert shop.levels("laptop") == (0, 0)
        assert [(line.sku, line.left) for line in selectors.returnable(order.id)] == [("laptop", 1), ("mouse", 3)]

    def test_a_parcel_with_nothing_of_ours_in_it(self, shop, order):
        wish = ask(order, laptop=2)
        decide(wish)
        receive(wish, reason="A brick.")
        shop.work()
        assert (status(wish), shop.money(order), shop.levels("laptop")) == ("REJECTED", SOLD, (0, 0))
        assert saga(wish).status in ("FAILED", "COMPENSATED")

    def test_money_that_has_gone_back_already_is_not_sent_again(self, shop, order):
        orders.refund(order.id, amount_minor=3000, reason="Sorry.", actor="ada", key="click", now=database_now())
        shop.work()
        wish = returned(shop, order, laptop=2)
        assert (status(wish), selectors.get(wish.id).refunded_minor) == ("REFUNDED", 500)
        assert shop.money(order) == [*SOLD, ("REFUND", 3000), ("REFUND", 500)]
        assert "15.00 EUR had gone back before" in " ".join(shop.notes(order))
        last = returned(shop, order, mouse=1)
        assert (status(last), selectors.get(last.id).refunded_minor) == ("REFUNDED", 0)


class TestRefused:
    def test_more_than_was_bought(self, shop, order):
        with pytest.raises(NotReturnable, match="Only 2 of this") as problem:
            ask(order, laptop=3)
        assert problem.value.data == {"sku": "laptop", "asked": 3, "left": 2}
        with pytest.raises(NotReturnable):
            ask(order, castle=1)
        with pytest.raises(NothingChosen):
            ask(order)
        with pytest.raises(NothingChosen):
            ask(order, laptop=0)
        with pytest.raises(ReasonMissing):
            ask(order, laptop=1, reason=" ")
        assert selectors.returns_of(order.id) == []

    def test_when_the_term_is_over(self, order, settings):
        settings.RETURN_DAYS = 14
        with pytest.raises(ReturnTermOver) as problem:
            ask(order, laptop=1, days=14.001)
        assert problem.value.code == "return_term_over"
        assert ask(order, laptop=1, days=13.999).status == "REQUESTED"

    def test_before_it_has_arrived(self, shop):
        shop.stocked("laptop", 1)
        order = shop.bought("laptop")
        with pytest.raises(NotDelivered):
            ask(order, laptop=1)

    def test_a_second_one_while_the_first_is_open(self, shop, order):
        wish = ask(order, laptop=1)
        with pytest.raises(ReturnUnderWay) as problem:
            ask(order, mouse=1)
        assert problem.value.data == {"number": wish.number}
        withdraw(wish)
        shop.work()
        assert ask(order, mouse=1).number == f"{order.number}-R2"

    def test_a_receipt_that_can_not_be(self, shop, order):
        wish = ask(order, laptop=1)
        with pytest.raises(ReturnNotApproved):
            receive(wish, laptop=Back(restocked=1))
        decide(wish)
        for back in ({"laptop": Back(1, 1)}, {"mouse": Back(1)}, {"laptop": Back(-1, 1)}):
            with pytest.raises(WrongReceipt):
                receive(wish, **back)
        receive(wish, laptop=Back(restocked=1))
        with pytest.raises(ReturnReceived):
            receive(wish, laptop=Back(written_off=1), actor="somebody else")
        shop.work()
        assert (status(wish), shop.levels("laptop")) == ("REFUNDED", (1, 0))


class TestWhoIsFirst:
    @pytest.mark.parametrize("worked_between", [True, False])
    @pytest.mark.parametrize("first", ["approve", "withdraw"])
    def test_an_approval_and_a_withdrawal(self, shop, order, first, worked_between):
        wish = ask(order, laptop=1)
        moves = [lambda: decide(wish), lambda: withdraw(wish)]
        one, other = moves if first == "approve" else reversed(moves)
        one()
        if worked_between:
            shop.work()
        with pytest.raises(ReturnDecided):
            other()
        shop.work()
        assert status(wish) == ("APPROVED" if first == "approve" else "WITHDRAWN")

    def test_pressing_twice_is_pressing_once(self, shop, order):
        wish = ask(order, laptop=1)
        assert decide(wish) == decide(wish)
        with pytest.raises(ReturnDecided):
            decide(wish, actor="bob")
        with pytest.raises(ReturnDecided):
            decide(wish, "REJECTED")
        shop.work()
        assert decide(wish).status == "APPROVED"

    def test_two_of_the_staff_and_the_buyer_in_the_same_moment(self, shop, order):
        wish = ask(order, laptop=1)
        said = both_at_once(
            lambda: decide(wish, actor="ada"), lambda: decide(wish, "REJECTED", actor="bob"), lambda: withdraw(wish)
        )
        assert sum(isinstance(one, ReturnDecided) for one in said) == 2
        shop.work()
        [won] = [one for one in said if not isinstance(one, MarketplaceError)]
        expected = {"APPROVED": "APPROVED", "REJECTED": "REJECTED", "WITHDRAWN": "WITHDRAWN"}[won.verdict]
        assert status(wish) == expected

    def test_two_requests_in_the_same_moment(self, order):
        said = both_at_once(*[lambda: ask(order, laptop=2)] * 3)
        assert sum(isinstance(one, ReturnUnderWay) for one in said) == 2
        assert len(selectors.returns_of(order.id)) == 1

    def test_two_receipts_in_the_same_moment(self, shop, order):
        wish = ask(order, laptop=2)
        decide(wish)
        said = both_at_once(*[lambda: receive(wish, laptop=Back(restocked=2))] * 2)
        assert sum(isinstance(one, ReturnReceived) for one in said) == 1
        shop.work()
        assert (shop.levels("laptop"), shop.money(order)) == ((2, 0), [*SOLD, ("REFUND", 2000)])

    def test_rejected(self, shop, order):
        wish = ask(order, laptop=1)
        decide(wish, "REJECTED", reason="It was used.")
        shop.work()
        assert (status(wish), shop.money(order)) == ("REJECTED", SOLD)
        assert shop.notes(order)[-1] == f"ada: Return {wish.number} has ended as REJECTED: It was used."


class TestTimeRunsOut:
    def test_nobody_decides(self, shop, order):
        wish = ask(order, laptop=1)
        shop.work()
        let_come(saga(wish).id, saga(wish).wait_until)
        with pytest.raises(ReturnOver):
            decide(wish)
        assert selectors.get(wish.id).verdict == ""
        shop.work()
        assert status(wish) == "EXPIRED"
        assert ask(order, laptop=1).status == "REQUESTED"

    def test_nothing_comes_back(self, shop, order):
        wish = ask(order, laptop=1)
        decide(wish)
        shop.work()
        let_come(saga(wish).id, saga(wish).wait_until)
        shop.work()
        assert (status(wish), shop.money(order), shop.levels("laptop")) == ("EXPIRED", SOLD, (0, 0))
        with pytest.raises(ReturnOver):
            receive(wish, laptop=Back(restocked=1))


class TestMoneyThatDoesNotMove:
    def test_a_bank_that_is_down_for_a_while(self, shop, order, sandbox_server):
        wish = ask(order, laptop=1)
        decide(wish)
        receive(wish, laptop=Back(restocked=1))
        sandbox_server.stop()
        shop.work()
        assert (status(wish), saga(wish).current_step) == ("RECEIVED", "refund_return")
        assert (shop.levels("laptop"), shop.now(order).refund_status) == ((1, 0), "PENDING")
        [key] = Refund.objects.values_list("idempotency_key", flat=True)
        sandbox_server.start()
        SagaInstance.objects.filter(pk=wish.saga_id).update(due_at=database_now())
        shop.work()
        assert (status(wish), shop.money(order)) == ("REFUNDED", [*SOLD, ("REFUND", 1000)])
        assert list(Refund.objects.values_list("idempotency_key", flat=True)) == [key]

    def test_a_dispute_is_left_to_a_person(self, shop, order):
        wish = ask(order, laptop=1)
        decide(wish)
        receive(wish, laptop=Back(restocked=1))
        shop.bank_says(order, dispute=Dispute.OPEN)
        shop.work()
        assert (status(wish), saga(wish).status) == ("RECEIVED", "NEEDS_ATTENTION")
        assert "The bank was asked" in saga(wish).attention
        shop.bank_says(order, dispute=Dispute.WON)
        attention.retry(wish.saga_id, actor="ada", reason="Won.", now=database_now())
        shop.work()
        assert (status(wish), shop.money(order)) == ("REFUNDED", [*SOLD, ("REFUND", 1000)])

    def test_somebody_refunds_most_of_it_in_the_same_moment(self, shop, order, caplog):
        wish = ask(order, laptop=2)
        decide(wish)
        receive(wish, laptop=Back(restocked=2))
        shop.work(queues=("orders", "inventory"))
        assert saga(wish).current_step == "refund_return"
        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                now = database_now()
                refund(order.id, amount_minor=3000, reason="Scratched.", actor="ada", key="r", now=now)
                working = pool.submit(aside, lambda: shop.work(queues=("payments",)))
                waiting_for_a_lock(1)
            working.result(timeout=60)
        assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
        shop.work()
        assert (status(wish), selectors.get(wish.id).refunded_minor) == ("REFUNDED", 500)
        assert sorted(shop.money(order)[2:]) == [("REFUND", 500), ("REFUND", 3000)]


def both_at_once(*moves):
    """Do all of it in the same moment; return what each came to."""
    barrier = Barrier(len(moves))

    def run(move):
        barrier.wait(60)
        try:
            return move()
        except MarketplaceError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(moves)) as pool:
        return list(pool.map(run, moves))


def test_the_term_is_counted_from_our_own_record(order, settings):
    at = TimelineEntry.objects.get(order_id=order.id, to_status="DELIVERED", from_status="IN_TRANSIT").at
    assert selectors.term_ends_at(order.id) == at + timedelta(days=settings.RETURN_DAYS)
    assert Order.objects.get(pk=order.id).status == "DELIVERED"
