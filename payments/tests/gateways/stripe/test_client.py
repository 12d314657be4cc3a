"""What is Stripe's own: the buyer at the bank's page, tombstones, forgotten keys, a lagging search, currencies."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from payments.gateways.base import ChargeStatus, Dispute, GatewayUnavailable, Outcome, Risk
from payments.gateways.stripe.client import StripeGateway
from payments.tests.gateways.contract import Buyer
from payments.tests.gateways.stripe import fake

BACK = "https://shop.example/orders/1"


@pytest.fixture
def stripe():
    with fake.running() as server:
        yield server


@pytest.fixture
def gateway(stripe):
    return StripeGateway(api_key="sk_test_123", api_base=stripe.url, timeout_seconds=30)


@pytest.fixture
def buyer(gateway):
    return Buyer(gateway, fake.APPROVED)


@pytest.fixture
def careful(gateway):
    """A buyer whose bank wants to be asked first."""
    return Buyer(gateway, fake.SECURE)


# --- what Stripe thinks of it -----------------------------------------------------------------------------------------


def test_the_risk_and_the_country_of_the_card_are_told_with_the_answer_and_to_who_looks(gateway):
    risky, plain = Buyer(gateway, "pm_card_riskLevelElevated"), Buyer(gateway, fake.APPROVED)
    for buyer, risk in ((risky, Risk.ELEVATED), (plain, Risk.UNTOLD)):
        reply = buyer.authorize()
        assert (reply.outcome, reply.risk, reply.card_country) == (Outcome.DONE, risk, "US")
        assert (buyer.charge.risk, buyer.charge.card_country) == (risk, "US")


def test_of_a_payment_that_the_buyer_confirms_it_is_told_once_it_is_held(stripe, careful):
    assert careful.authorize(return_url=BACK).card_country == ""
    stripe.decide(careful.key, approve=True)
    assert careful.charge.card_country == "US"


# --- later ------------------------------------------------------------------------------------------------------------


def test_a_buyer_who_must_confirm_is_sent_to_the_bank_and_nothing_is_held_yet(stripe, careful):
    reply = careful.authorize(return_url=BACK)
    assert (reply.outcome, reply.code) == (Outcome.PENDING, "requires_action")
    assert reply.action_url.startswith(stripe.url)
    assert reply.reference == careful.charge.reference
    assert careful.money == (ChargeStatus.PENDING, 0, 0)


def test_a_confirmed_one_is_held_and_can_be_captured(stripe, careful):
    careful.authorize(return_url=BACK)
    stripe.decide(careful.key, approve=True)
    assert careful.money == (ChargeStatus.AUTHORIZED, 0, 0)
    assert careful.capture().outcome is Outcome.DONE
    assert careful.money == (ChargeStatus.CAPTURED, 1299, 0)


def test_one_that_failed_at_the_bank_is_declined_and_says_why(stripe, careful):
    careful.authorize(return_url=BACK)
    stripe.decide(careful.key, approve=False)
    charge = careful.charge
    assert (charge.status, charge.failure_code) == (ChargeStatus.DECLINED, "payment_intent_authentication_failure")
    assert charge.failure_message == "Not confirmed."


def test_one_that_was_confirmed_and_that_the_bank_then_turned_down_is_declined_too(stripe, careful):
    careful.authorize(return_url=BACK)
    stripe.turn_down(careful.key)
    charge = careful.charge
    assert (charge.status, charge.failure_code) == (ChargeStatus.DECLINED, "insufficient_funds")
    assert charge.failure_message == "Your card has insufficient funds."
    assert careful.void().outcome is Outcome.DONE
    assert not stripe.try_another_card(careful.key)


def test_to_let_go_of_what_was_held_is_no_refund_although_stripe_calls_it_one(buyer):
    buyer.authorize()
    buyer.void()
    charge = buyer.charge
    assert (charge.status, charge.captured_minor) == (ChargeStatus.VOIDED, 0)
    assert (charge.refunded_minor, charge.reversed_minor, charge.refunds) == (0, 0, ())


@pytest.fixture
def surfer(gateway):
    """Another such buyer, whose token was made by the Payment Element in their browser."""
    return Buyer(gateway, "ctoken_secure")


def test_a_token_of_the_payment_element_is_held_once(stripe, gateway):
    buyer = Buyer(gateway, "ctoken_visa")
    assert buyer.authorize(return_url=BACK).outcome is Outcome.DONE
    assert buyer.authorize(return_url=BACK).outcome is Outcome.DONE  # the same key: the same intent
    assert Buyer(gateway, "ctoken_visa").authorize(return_url=BACK).outcome is Outcome.REFUSED
    assert [intent["status"] for intent in stripe.intents.values()] == ["requires_capture"]


def test_who_paid_in_the_browser_confirms_there_on_the_page_of_the_order(stripe, gateway, surfer):
    reply = surfer.authorize(return_url=BACK)
    assert (reply.outcome, reply.code, reply.action_url) == (Outcome.PENDING, "requires_action", BACK)
    secret = stripe.intent_of(surfer.key)["client_secret"]
    assert gateway.confirmation(reference=reply.reference) == {"clientSecret": secret}
    stripe.decide(surfer.key, approve=True)
    assert gateway.confirmation(reference=reply.reference) == {}
    assert surfer.money == (ChargeStatus.AUTHORIZED, 0, 0)


def test_what_the_page_must_know_is_in_stripes_own_units(stripe):
    gateway = StripeGateway(api_key="sk", api_base=stripe.url, timeout_seconds=30, publishable_key="pk_test_1")
    widget = gateway.widget(amount_minor=500, currency="ISK")
    assert (widget.name, widget.public_key) == ("stripe", "pk_test_1")
    assert (widget.parameters["amount"], widget.parameters["currency"]) == (50_000, "isk")
    assert widget.parameters["release"].isalpha()


def test_a_stripe_that_is_away_has_nothing_to_confirm_now(stripe, gateway, surfer):
    reference = surfer.authorize(return_url=BACK).reference
    stripe.outage = 500, {"error": {"type": "api_error", "message": "Sorry."}}
    with pytest.raises(GatewayUnavailable):
        gateway.confirmation(reference=reference)


def test_a_bank_that_takes_its_time_is_pending_without_an_address(gateway):
    buyer = Buyer(gateway, fake.PROCESSING)
    reply = buyer.authorize()
    assert (reply.outcome, reply.code, reply.action_url) == (Outcome.PENDING, "processing", "")


def test_a_pending_one_can_be_ended_for_good(stripe, careful):
    careful.authorize(return_url=BACK)
    assert careful.void().outcome is Outcome.DONE
    assert careful.money == (ChargeStatus.VOIDED, 0, 0)
    stripe.decide(careful.key, approve=True)
    assert careful.money == (ChargeStatus.VOIDED, 0, 0)


def test_a_pending_one_can_not_be_captured_yet(careful):
    careful.authorize(return_url=BACK)
    reply = careful.capture()
    assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, "authorization_pending", True)


# --- a final no -------------------------------------------------------------------------------------------------------


def test_passes_the_banks_own_word_on(gateway):
    reply = Buyer(gateway, fake.POOR).authorize()
    assert (reply.outcome, reply.code) == (Outcome.REFUSED, "insufficient_funds")


def test_a_method_that_does_not_exist_is_refused(gateway):
    reply = Buyer(gateway, "pm_nonsense").authorize()
    assert (reply.outcome, reply.reference) == (Outcome.REFUSED, "")
    assert "pm_nonsense" in reply.message


def test_what_is_declined_at_once_is_over_and_no_other_card_is_taken_on_it(stripe, gateway):
    buyer = Buyer(gateway, fake.DECLINED)
    assert [buyer.authorize().code, buyer.authorize().code] == ["card_declined", "card_declined"]
    assert stripe.intent_of(buyer.key)["status"] == "canceled"
    assert not stripe.try_another_card(buyer.key)


def test_a_decline_is_one_although_its_end_can_not_be_asked_for(stripe, gateway):
    buyer = Buyer(gateway, fake.DECLINED)
    stripe.lose_answers(1, of="/cancel")
    with capture_logs() as logged:
        assert buyer.authorize().outcome is Outcome.REFUSED
    assert [entry["event"] for entry in logged] == ["declined_intent_left_open"]


def test_what_the_bank_has_declined_can_be_ended_so_that_no_other_card_is_taken_on_it(stripe, careful):
    careful.authorize(return_url=BACK)
    stripe.decide(careful.key, approve=False)
    assert [careful.void().outcome, careful.void().outcome, careful.void(key="other").outcome] == [Outcome.DONE] * 3
    assert not stripe.try_another_card(careful.key)
    assert careful.money == (ChargeStatus.DECLINED, 0, 0)


def test_what_was_declined_and_then_paid_by_another_card_is_let_go(stripe, careful):
    careful.authorize(return_url=BACK)
    stripe.decide(careful.key, approve=False)
    assert stripe.try_another_card(careful.key)
    assert careful.void().outcome is Outcome.DONE
    assert careful.money == (ChargeStatus.VOIDED, 0, 0)


def test_what_can_not_be_ended_now_is_not_called_so(stripe, gateway):
    buyer = Buyer(gateway, fake.PROCESSING)
    buyer.authorize()
    reply = buyer.void()
    assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, "not_voided", True)
    stripe.decide(buyer.key, approve=True)
    assert buyer.void(key="again").outcome is Outcome.DONE
    assert buyer.money == (ChargeStatus.VOIDED, 0, 0)


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_voided_key_leaves_a_tombstone_that_was_never_confirmed(stripe, buyer):
    buyer.void()
    (stone,) = stripe.intents.values()
    assert (stone["status"], stone["latest_charge"], stone["amount_received"]) == ("canceled", None, 0)
    assert buyer.charge is None
    assert list(buyer.gateway.list(since=datetime.now(UTC) - timedelta(minutes=1))) == []


def test_a_void_that_meets_an_authorization_which_search_does_not_know_voids_it(stripe, buyer):
    buyer.authorize()
    assert stripe._searched({"query": f'metadata["marketplace_key"]:"{buyer.key}"'})["data"] == []
    buyer.void()
    assert buyer.money == (ChargeStatus.VOIDED, 0, 0)


def test_a_void_that_can_not_see_the_authorization_at_all_does_not_call_it_nothing(stripe, buyer):
    buyer.authorize()
    stripe.intent_of(buyer.key)["created"] -= 7200  # too old for the list, and search knows nothing
    stripe.search_lag = 10_000
    reply = buyer.void()
    assert (reply.outcome, reply.code) == (Outcome.UNKNOWN, "idempotency_key_reused")
    stripe.search_lag = 0
    assert buyer.void().outcome is Outcome.DONE
    assert buyer.money == (ChargeStatus.VOIDED, 0, 0)


def test_finds_by_search_what_is_older_than_the_list_looks(stripe, buyer):
    buyer.authorize()
    stripe.intent_of(buyer.key)["created"] -= 7200
    assert buyer.money == (ChargeStatus.AUTHORIZED, 0, 0)


def test_a_key_with_quotes_is_found_by_search_too(stripe, gateway):
    buyer = Buyer(gateway, fake.APPROVED)
    buyer.key = f'{buyer.key} "so" \\ it is'
    buyer.authorize()
    stripe.search_lag = 0
    assert buyer.money == (ChargeStatus.AUTHORIZED, 0, 0)


def test_a_refund_that_stripe_has_not_finished_is_none_yet(stripe, buyer):
    buyer.authorize()
    buyer.capture()
    assert buyer.refund(300).outcome is Outcome.DONE
    (made,) = stripe.refunds.values()
    made["status"] = "pending"
    reply = buyer.refund(300)
    assert (reply.outcome, reply.code, reply.reference) == (Outcome.PENDING, "refund_pending", made["id"])
    assert buyer.money == (ChargeStatus.CAPTURED, 1299, 0)
    made["status"] = "failed"
    assert buyer.refund(300).outcome is Outcome.REFUSED


def test_a_refund_whose_key_stripe_has_forgotten_is_not_made_twice(stripe, buyer):
    buyer.authorize()
    buyer.capture()
    first = buyer.refund(300)
    stripe.forget_keys()
    assert buyer.refund(300) == first
    assert buyer.money == (ChargeStatus.PARTIALLY_REFUNDED, 1299, 300)


def test_a_key_that_is_being_worked_on_is_unknown_until_it_is_told(stripe, buyer):
    stripe.busy_keys = {buyer.key}
    reply = buyer.authorize()
    assert (reply.outcome, reply.code) == (Outcome.UNKNOWN, "idempotency_key_in_use")
    assert not reply.nothing_happened
    stripe.busy_keys = set()
    assert buyer.authorize().outcome is Outcome.DONE


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "nothing_happened"), [(500, False), (502, False), (429, True), (401, True), (403, True)]
)
def test_an_outage_is_no_decline(stripe, buyer, status, nothing_happened):
    stripe.outage = (status, {"error": {"type": "api_error", "message": "Sorry."}})
    for reply in (buyer.authorize(), buyer.void(), buyer.refund(), buyer.capture()):
        assert (reply.outcome, reply.nothing_happened) == (Outcome.UNKNOWN, nothing_happened)
        assert reply.unavailable is (status == 401)  # our key is not accepted: that turns every call away
    with pytest.raises(GatewayUnavailable):
        _ = buyer.charge


# --- amounts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "ours", "stripes"),
    [("EUR", 1299, 1299), ("JPY", 1299, 1299), ("KWD", 12990, 12990), ("UGX", 50, 5000)],
)
def test_says_amounts_in_stripes_units_and_reads_them_back_in_ours(stripe, gateway, currency, ours, stripes):
    buyer = Buyer(gateway, fake.APPROVED, amount_minor=ours, currency=currency)
    assert buyer.authorize().amount_minor == ours
    assert stripe.intent_of(buyer.key)["amount"] == stripes
    assert buyer.capture().amount_minor == ours
    assert buyer.refund().amount_minor == ours
    assert (buyer.charge.amount_minor, buyer.charge.currency) == (ours, currency)
    assert buyer.money == (ChargeStatus.REFUNDED, ours, ours)


# --- disputes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "dispute", "reversed_minor", "charge_status"),
    [
        ("needs_response", Dispute.OPEN, 0, ChargeStatus.CAPTURED),
        ("won", Dispute.WON, 0, ChargeStatus.CAPTURED),
        ("lost", Dispute.LOST, 1299, ChargeStatus.REVERSED),
    ],
)
def test_only_a_lost_dispute_takes_the_money(stripe, buyer, status, dispute, *, reversed_minor, charge_status):
    buyer.authorize()
    buyer.capture()
    stripe.dispute(buyer.key, status=status)
    charge = buyer.charge
    assert (charge.dispute, charge.reversed_minor, charge.status) == (dispute, reversed_minor, charge_status)
