"""The shop's sagas, sentence by sentence: what each step's refusal, silence or failure leads to."""

import pytest

from marketplace.kernel.clock import database_now
from marketplace.sagas.testing import given
from orders import services
from orders.sagas.place_order import PlaceOrder
from orders.sagas.reverse_order import ReverseOrder
from payments.gateways.base import Outcome, Reply

pytestmark = pytest.mark.django_db

PAID_AT_ONCE = (
    "validate_inventory", "reserve_inventory", "authorize_payment", "check_fraud", "capture_payment", "confirm_order",
)  # fmt: skip


def says(outcome, code, message=""):
    """What the gateway says, instead of what it would: for `replies`."""
    return lambda call: (call, Reply(outcome, code=code, message=message))


@pytest.fixture
def placed(shop):
    """An order of two units by Buy Now, of three that there are."""
    shop.stocked("laptop", 3)
    return shop.order("laptop", 2)


@pytest.fixture
def reserved(shop):
    """An order of one unit, to be paid later."""
    shop.stocked("laptop", 1)
    return shop.order("laptop", token="")


@pytest.fixture
def sold(shop, placed):
    """A confirmed order that its buyer has just cancelled."""
    given(PlaceOrder, placed).expect_completed()
    services.cancel(placed.id, actor="user-1", now=database_now())
    return placed


# --- place_order ------------------------------------------------------------------------------------------------------


def test_buy_now(shop, placed):
    given(PlaceOrder, placed).expect_done(*PAID_AT_ONCE).expect_undone().expect_completed()
    assert shop.now(placed).status == "CONFIRMED"


def test_units_that_are_gone_by_the_time_they_are_reserved(shop, placed):
    given(PlaceOrder, placed).when("reserve_inventory", refuses="out_of_stock").expect_undone().expect_status("FAILED")
    assert (shop.now(placed).status, shop.levels("laptop")) == ("FAILED", (3, 0))


def test_a_declined_card(shop, placed):
    said = given(PlaceOrder, placed).when("authorize_payment", replies=says(Outcome.REFUSED, "card_declined"))
    said.expect_undone("reserve_inventory").expect_failure("payment_declined").expect_attempts("authorize_payment", 1)
    assert shop.levels("laptop") == (3, 0)


def test_a_bank_that_does_not_answer_is_asked_three_times_and_then_told_to_forget_it(shop, placed):
    said = given(PlaceOrder, placed).when("authorize_payment", times_out=True).expect_attempts("authorize_payment", 3)
    said.expect_undone("authorize_payment", "reserve_inventory").expect_failure("payment_timeout")
    assert shop.money(placed) == []


def test_an_answer_that_is_lost_is_asked_for_again(shop, placed):
    said = given(PlaceOrder, placed).when("capture_payment", loses_its_answer=True, times=2).expect_completed()
    said.expect_attempts("capture_payment", 3)
    assert shop.money(placed) == [("AUTHORIZE", 2000), ("CAPTURE", 2000)]


def test_a_suspicion(shop, placed):
    said = given(PlaceOrder, placed).when("check_fraud", refuses="fraud_rejected")
    said.expect_undone("authorize_payment", "reserve_inventory").expect_failure("fraud_rejected")
    assert shop.money(placed) == [("AUTHORIZE", 2000), ("VOID", 2000)]


def test_a_capture_that_is_refused(shop, placed):
    said = given(PlaceOrder, placed).when("capture_payment", replies=says(Outcome.REFUSED, "expired"))
    said.expect_undone("authorize_payment", "reserve_inventory").expect_failure("payment_declined")
    assert shop.money(placed) == [("AUTHORIZE", 2000), ("VOID", 2000)]


def test_captures_that_nobody_knows_of_are_given_back(shop, placed):
    said = given(PlaceOrder, placed).when("capture_payment", loses_its_answer=True).expect_failure("payment_timeout")
    said.expect_undone("capture_payment", "authorize_payment", "reserve_inventory")
    assert shop.money(placed) == [("AUTHORIZE", 2000), ("CAPTURE", 2000), ("REFUND", 2000)]
    assert (shop.now(placed).refund_status, shop.levels("laptop")) == ("REFUNDED", (3, 0))


def test_a_confirmation_that_fails_keeps_the_money_and_the_units_until_a_person_has_looked(shop, placed):
    said = given(PlaceOrder, placed).when("confirm_order", raises=ZeroDivisionError("a bug")).expect_parked("a bug")
    assert (shop.now(placed).status, shop.levels("laptop")) == ("PAID", (1, 2))
    said.when_decided("compensate").expect_undone("capture_payment", "authorize_payment", "reserve_inventory")
    assert shop.levels("laptop") == (3, 0)


def test_an_undo_that_the_bank_refuses(shop, placed):
    said = given(PlaceOrder, placed).when("check_fraud", refuses="fraud_rejected")
    said.when_undoing("authorize_payment", replies=says(Outcome.REFUSED, "closed", "The account is closed."))
    said.expect_parked("The account is closed. Still to be undone: authorize_payment, reserve_inventory.")
    assert shop.levels("laptop") == (1, 2)


def test_reserving_now_and_paying_later(shop, reserved):
    said = given(PlaceOrder, reserved).expect_waiting("payment_request")
    said.when("payment_request", hears={"method": "tok_visa"}).expect_completed()
    assert shop.now(reserved).status == "CONFIRMED"


def test_time_to_pay_that_runs_out(shop, reserved):
    said = given(PlaceOrder, reserved).when("payment_request", runs_out=True)
    said.expect_failure("reservation_expired").expect_undone("reserve_inventory")
    assert (shop.now(reserved).status, shop.hold(reserved)) == ("CANCELLED", ["EXPIRED"])


def test_a_cancel_while_the_bank_is_asked(shop, placed):
    said = given(PlaceOrder, placed).when_signalled("cancel", during="authorize_payment")
    said.expect_undone("authorize_payment", "reserve_inventory").expect_failure("cancelled_by_buyer")
    assert shop.money(placed) == [("AUTHORIZE", 2000), ("VOID", 2000)]


def test_a_cancel_while_the_money_is_taken(shop, placed):
    said = given(PlaceOrder, placed).when_signalled("cancel", during="capture_payment")
    said.expect_undone("capture_payment", "authorize_payment", "reserve_inventory")
    assert shop.money(placed) == [("AUTHORIZE", 2000), ("CAPTURE", 2000), ("REFUND", 2000)]


def test_a_cancel_while_the_order_waits_for_its_payment(reserved):
    given(PlaceOrder, reserved).when_signalled("cancel", during="payment_request").expect_undone("reserve_inventory")


# --- reverse_order ----------------------------------------------------------------------------------------------------


def test_a_confirmed_order_is_taken_back(shop, sold):
    done = ("shipment_stopped", "refund_payment", "restock_inventory", "close_order")
    given(ReverseOrder, sold).expect_done(*done).expect_completed()
    assert (shop.now(sold).status, shop.levels("laptop")) == ("CANCELLED", (3, 0))


def test_a_refund_whose_answers_are_lost_is_made_once(shop, sold):
    given(ReverseOrder, sold).when("refund_payment", loses_its_answer=True, times=3).expect_completed()
    assert shop.money(sold) == [("AUTHORIZE", 2000), ("CAPTURE", 2000), ("REFUND", 2000)]


def test_a_refund_that_is_refused_is_left_to_a_person_and_nothing_is_restocked(shop, sold):
    said = given(ReverseOrder, sold).when("refund_payment", replies=says(Outcome.REFUSED, "no", "No."), times=1)
    said.expect_parked("No.", at="refund_payment").expect_done("shipment_stopped")
    assert shop.levels("laptop") == (1, 0)


def test_a_restock_that_fails_goes_on_where_it_was_once_a_person_says_so(shop, sold):
    said = given(ReverseOrder, sold).when("restock_inventory", parks="The shelf is broken.", times=1)
    said.expect_parked("The shelf is broken.").expect_done("shipment_stopped", "refund_payment")
    said.when_decided("retry").expect_completed()
    assert shop.levels("laptop") == (3, 0)
