"""What every payment gateway must do, whoever runs it: the sandbox now, Stripe and PayPal when they come.

A gateway's own test module subclasses `GatewayContract`, names its tokens, and gives three fixtures: `gateway`, a
client; `lossy`, a client and the `LossyProxy` before it; and `unreachable`, a client of an address where nobody is.
The other parts of the contract are classes to be mixed in.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from payments.gateways.base import ChargeStatus, GatewayUnavailable, NotGenuine, Outcome, Reply


class Buyer:
    """One authorization and what becomes of it. The keys are like those of a saga: one a step, one for its undo."""

    def __init__(self, gateway, method, *, amount_minor=1299, currency="EUR"):
        self.gateway, self.method, self.amount_minor, self.currency = gateway, method, amount_minor, currency
        self.key = f"{uuid4()}:authorize_payment"
        self.reference = ""

    def authorize(self, **changes) -> Reply:
        asked = {
            "key": self.key,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "method": self.method,
            "metadata": {"reference_id": "an order"},
        }
        reply = self.gateway.authorize(**{**asked, **changes})
        self.reference = reply.reference
        return reply

    def capture(self, amount_minor=None, *, key="capture") -> Reply:
        return self.gateway.capture(
            key=f"{self.key}:{key}",
            authorization_key=self.key,
            reference=self.reference,
            amount_minor=amount_minor or self.amount_minor,
        )

    def void(self, *, key="void") -> Reply:
        return self.gateway.void(key=f"{self.key}:{key}", authorization_key=self.key)

    def refund(self, amount_minor=None, *, key="refund") -> Reply:
        return self.gateway.refund(key=f"{self.key}:{key}", authorization_key=self.key, amount_minor=amount_minor)

    @property
    def charge(self):
        return self.gateway.find(authorization_key=self.key)

    @property
    def money(self):
        """What the gateway believes, in short: status, captured, refunded; None for no charge."""
        charge = self.charge
        return (charge.status, charge.captured_minor, charge.refunded_minor) if charge else None


class GatewayContract:
    approved: str
    declined: str
    declined_code = "card_declined"

    @pytest.fixture
    def buyer(self, gateway):
        return Buyer(gateway, self.approved)

    def with_lossy(self, lossy):
        gateway, proxy = lossy
        return Buyer(gateway, self.approved), proxy

    # --- the good days ------------------------------------------------------------------------------------------------

    def test_holds_money_and_says_under_which_reference(self, buyer):
        reply = buyer.authorize()
        charge = buyer.charge
        assert (reply.outcome, reply.code, reply.amount_minor) == (Outcome.DONE, "", 1299)
        assert reply.reference
        assert reply.reference == charge.reference
        assert (charge.key, charge.amount_minor, charge.currency) == (buyer.key, 1299, "EUR")
        assert abs(charge.created_at - datetime.now(UTC)) < timedelta(seconds=60)
        assert buyer.money == (ChargeStatus.AUTHORIZED, 0, 0)

    def test_captures_what_was_held(self, buyer):
        buyer.authorize()
        reply = buyer.capture()
        assert (reply.outcome, reply.amount_minor) == (Outcome.DONE, 1299)
        assert reply.reference
        assert buyer.money == (ChargeStatus.CAPTURED, 1299, 0)

    def test_lets_go_of_what_was_held(self, buyer):
        buyer.authorize()
        assert buyer.void().outcome is Outcome.DONE
        assert buyer.money == (ChargeStatus.VOIDED, 0, 0)

    def test_gives_back_all_that_was_captured(self, buyer):
        buyer.authorize()
        buyer.capture()
        reply = buyer.refund()
        assert (reply.outcome, reply.code, reply.amount_minor) == (Outcome.DONE, "", 1299)
        assert buyer.money == (ChargeStatus.REFUNDED, 1299, 1299)

    def test_gives_back_a_part_and_then_the_rest(self, buyer):
        buyer.authorize()
        buyer.capture()
        assert buyer.refund(299).amount_minor == 299
        assert buyer.money == (ChargeStatus.PARTIALLY_REFUNDED, 1299, 299)
        assert buyer.refund(key="rest").amount_minor == 1000
        assert buyer.money == (ChargeStatus.REFUNDED, 1299, 1299)

    def test_knows_currencies_of_other_decimals(self, gateway):
        yen = Buyer(gateway, self.approved, amount_minor=500, currency="JPY")
        assert yen.authorize().outcome is Outcome.DONE
        assert (yen.charge.amount_minor, yen.charge.currency) == (500, "JPY")

    # --- a final no ---------------------------------------------------------------------------------------------------

    def test_a_declined_card_holds_nothing(self, gateway):
        buyer = Buyer(gateway, self.declined)
        reply = buyer.authorize()
        assert (reply.outcome, reply.code, reply.reference) == (Outcome.REFUSED, self.declined_code, "")
        assert reply.message
        assert buyer.charge is None
        assert buyer.authorize().outcome is Outcome.REFUSED

    def test_captures_once_only(self, buyer):
        buyer.authorize()
        buyer.capture()
        again = buyer.capture(key="another")
        assert (again.outcome, again.code) == (Outcome.REFUSED, "already_captured")
        assert buyer.money == (ChargeStatus.CAPTURED, 1299, 0)

    def test_captures_no_more_than_was_held(self, buyer):
        buyer.authorize()
        assert buyer.capture(1300).outcome is Outcome.REFUSED
        assert buyer.money == (ChargeStatus.AUTHORIZED, 0, 0)

    def test_captures_nothing_after_a_void(self, buyer):
        buyer.authorize()
        buyer.void()
        assert buyer.capture().outcome is Outcome.REFUSED
        assert buyer.money == (ChargeStatus.VOIDED, 0, 0)

    def test_captures_nothing_that_was_never_held(self, buyer):
        assert buyer.capture().outcome is Outcome.REFUSED
        assert buyer.charge is None

    def test_a_captured_one_is_not_voided(self, buyer):
        buyer.authorize()
        buyer.capture()
        reply = buyer.void()
        assert (reply.outcome, reply.code) == (Outcome.REFUSED, "already_captured")
        assert buyer.money == (ChargeStatus.CAPTURED, 1299, 0)

    def test_gives_back_no_more_than_was_captured(self, buyer):
        buyer.authorize()
        buyer.capture()
        assert buyer.refund(1300).outcome is Outcome.REFUSED
        assert buyer.refund(1000, key="part").outcome is Outcome.DONE
        assert buyer.refund(300, key="beyond").outcome is Outcome.REFUSED
        assert buyer.money == (ChargeStatus.PARTIALLY_REFUNDED, 1299, 1000)

    # --- undoing by key alone, whatever there was ---------------------------------------------------------------------

    def test_a_void_for_a_key_that_never_came_stops_it_from_coming(self, buyer):
        reply = buyer.void()
        assert (reply.outcome, reply.code) == (Outcome.DONE, "nothing_to_void")
        late = buyer.authorize()
        assert (late.outcome, late.code) == (Outcome.REFUSED, "voided_before_authorization")
        assert buyer.charge is None

    def test_a_void_of_a_declined_one_has_nothing_to_do(self, gateway):
        buyer = Buyer(gateway, self.declined)
        buyer.authorize()
        reply = buyer.void()
        assert (reply.outcome, reply.code) == (Outcome.DONE, "nothing_to_void")
        assert buyer.charge is None

    def test_voiding_twice_is_voiding_once(self, buyer):
        buyer.authorize()
        assert [buyer.void().outcome, buyer.void().outcome, buyer.void(key="other").outcome] == [Outcome.DONE] * 3
        assert buyer.money == (ChargeStatus.VOIDED, 0, 0)

    def test_refunds_are_told_apart_by_our_keys(self, buyer):
        buyer.authorize()
        buyer.capture()
        first, second = buyer.refund(299), buyer.refund(key="rest")
        seen = [(made.reference, made.key, made.amount_minor) for made in buyer.charge.refunds]
        assert sorted(seen) == sorted(
            [(first.reference, f"{buyer.key}:refund", 299), (second.reference, f"{buyer.key}:rest", 1000)]
        )
        assert sum(made.amount_minor for made in buyer.charge.refunds) == buyer.charge.refunded_minor

    def test_a_refund_before_any_capture_has_nothing_to_do(self, buyer):
        never_came = buyer.refund()
        buyer.authorize()
        only_held = buyer.refund()
        for reply in (never_came, only_held):
            assert (reply.outcome, reply.code, reply.amount_minor) == (Outcome.DONE, "nothing_to_refund", 0)
        assert buyer.money == (ChargeStatus.AUTHORIZED, 0, 0)

    def test_a_capture_that_overtook_the_refund_is_refunded_with_the_same_key(self, buyer):
        buyer.authorize()
        assert buyer.refund().code == "nothing_to_refund"
        buyer.capture()
        assert (buyer.refund().code, buyer.refund().amount_minor) == ("", 1299)
        assert buyer.money == (ChargeStatus.REFUNDED, 1299, 1299)

    # --- keys ---------------------------------------------------------------------------------------------------------

    def test_the_same_key_twice_is_one_charge_and_one_answer(self, buyer):
        assert buyer.authorize() == buyer.authorize()
        assert buyer.capture() == buyer.capture()
        assert buyer.refund(100) == buyer.refund(100)
        assert buyer.money == (ChargeStatus.PARTIALLY_REFUNDED, 1299, 100)

    def test_the_same_key_for_something_else_does_nothing(self, buyer):
        buyer.authorize()
        for changes in ({"amount_minor": 1}, {"currency": "USD"}):
            reply = buyer.authorize(**changes)
            assert reply.outcome is Outcome.UNKNOWN  # something was done under this key: not a refusal
            assert not reply.nothing_happened
        assert (buyer.charge.amount_minor, buyer.charge.currency) == (1299, "EUR")

    def test_twenty_at_once_with_one_key_are_one_charge(self, buyer):
        since = datetime.now(UTC) - timedelta(seconds=60)
        with ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(lambda _: buyer.authorize(), range(20)))
        assert len(set(replies)) == 1
        assert replies[0].outcome is Outcome.DONE
        assert [c.amount_minor for c in buyer.gateway.list(since=since) if c.key == buyer.key] == [1299]

    def test_captures_and_voids_at_once_end_in_one_of_both(self, gateway):
        for _ in range(10):
            buyer = Buyer(gateway, self.approved)
            buyer.authorize()
            with ThreadPoolExecutor(2) as pool:
                capture, void = pool.submit(buyer.capture), pool.submit(buyer.void)
            outcomes = (capture.result().outcome, void.result().outcome)
            if outcomes == (Outcome.DONE, Outcome.REFUSED):
                assert buyer.money == (ChargeStatus.CAPTURED, 1299, 0)
            else:
                assert outcomes == (Outcome.REFUSED, Outcome.DONE)
                assert buyer.money == (ChargeStatus.VOIDED, 0, 0)

    # --- nobody knows -------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("operation", ["authorize", "capture", "void", "refund"])
    def test_a_lost_answer_is_unknown_and_the_same_key_tells(self, lossy, operation):
        buyer, proxy = self.with_lossy(lossy)
        before = {"authorize": [], "capture": [buyer.authorize], "void": [buyer.authorize]}
        for step in before.get(operation, [buyer.authorize, buyer.capture]):
            assert step().outcome is Outcome.DONE
        proxy.lose_answers(1)
        lost = getattr(buyer, operation)()
        after_the_loss = buyer.money
        told = getattr(buyer, operation)()
        assert (lost.outcome, lost.nothing_happened, lost.reference) == (Outcome.UNKNOWN, False, "")
        assert told.outcome is Outcome.DONE
        expected = {
            "authorize": (ChargeStatus.AUTHORIZED, 0, 0),
            "capture": (ChargeStatus.CAPTURED, 1299, 0),
            "void": (ChargeStatus.VOIDED, 0, 0),
            "refund": (ChargeStatus.REFUNDED, 1299, 1299),
        }[operation]
        assert after_the_loss == buyer.money == expected

    def test_a_lost_authorization_can_be_voided_by_its_key(self, lossy):
        buyer, proxy = self.with_lossy(lossy)
        proxy.lose_answers(1)
        assert buyer.authorize().outcome is Outcome.UNKNOWN
        assert buyer.void().outcome is Outcome.DONE
        assert buyer.money == (ChargeStatus.VOIDED, 0, 0)

    def test_a_lost_capture_can_be_refunded_by_its_key(self, lossy):
        buyer, proxy = self.with_lossy(lossy)
        buyer.authorize()
        proxy.lose_answers(1)
        assert buyer.capture().outcome is Outcome.UNKNOWN
        assert buyer.refund().amount_minor == 1299
        assert buyer.money == (ChargeStatus.REFUNDED, 1299, 1299)

    def test_a_gateway_that_is_not_there_did_nothing(self, unreachable):
        buyer = Buyer(unreachable, self.approved)
        for reply in (buyer.authorize(), buyer.capture(), buyer.void(), buyer.refund()):
            assert (reply.outcome, reply.nothing_happened) == (Outcome.UNKNOWN, True)
            assert reply.code
        with pytest.raises(GatewayUnavailable):
            unreachable.find(authorization_key=buyer.key)
        with pytest.raises(GatewayUnavailable):
            list(unreachable.list(since=datetime.now(UTC)))

    # --- reading its books --------------------------------------------------------------------------------------------

    def test_does_not_know_a_charge_that_was_never_made(self, buyer):
        assert buyer.charge is None

    def test_lists_every_charge_since_a_moment_oldest_first(self, gateway):
        buyers = [Buyer(gateway, self.approved, amount_minor=n) for n in range(101, 106)]
        for buyer in buyers:
            buyer.authorize()
        buyers[1].capture()
        start = buyers[1].charge.created_at
        listed = [charge for charge in gateway.list(since=start) if charge.key in {b.key for b in buyers}]
        since = [buyer for buyer in buyers if buyer.charge.created_at >= start]  # all of them, by a clock of seconds
        assert [charge.amount_minor for charge in listed][-4:] == [102, 103, 104, 105]
        assert listed == [buyer.charge for buyer in since]


class DecidesLater:
    """The part of the contract about buyers who have to confirm at their bank. `confirm` does what they do there."""

    asks_the_buyer: str

    def confirm(self, reply: Reply, *, approved: bool) -> None:
        """Do what the buyer does at `reply.action_url`."""
        raise NotImplementedError

    @pytest.fixture
    def asked(self, gateway):
        """A buyer who has to confirm at the bank."""
        buyer = Buyer(gateway, self.asks_the_buyer)
        reply = buyer.authorize(return_url="https://shop.example/orders/1")
        assert (reply.outcome, reply.code, reply.amount_minor) == (Outcome.PENDING, "requires_action", None)
        assert reply.action_url.startswith("http")
        return buyer, reply

    def test_holds_nothing_before_the_buyer_has_confirmed(self, asked):
        buyer, _ = asked
        assert buyer.money == (ChargeStatus.PENDING, 0, 0)
        captured = buyer.capture()
        assert (captured.outcome, captured.nothing_happened) == (Outcome.UNKNOWN, True)

    def test_a_buyer_who_confirms_has_paid_like_any_other(self, asked):
        buyer, reply = asked
        self.confirm(reply, approved=True)
        assert buyer.money == (ChargeStatus.AUTHORIZED, 0, 0)
        assert buyer.charge.reference == reply.reference
        assert buyer.capture().outcome is Outcome.DONE
        assert buyer.money == (ChargeStatus.CAPTURED, 1299, 0)

    def test_a_buyer_who_does_not_confirm_has_not_paid(self, asked):
        buyer, reply = asked
        self.confirm(reply, approved=False)
        charge = buyer.charge
        assert (charge.status, bool(charge.failure_code), bool(charge.failure_message)) == ("DECLINED", True, True)
        assert buyer.capture().outcome is Outcome.REFUSED
        assert (buyer.void().outcome, buyer.refund().code) == (Outcome.DONE, "nothing_to_refund")
        assert buyer.money == (ChargeStatus.DECLINED, 0, 0)

    def test_the_same_key_is_answered_as_the_first_time_although_it_is_decided(self, asked):
        buyer, reply = asked
        self.confirm(reply, approved=True)
        assert buyer.authorize(return_url="https://shop.example/orders/1").outcome is Outcome.PENDING
        assert buyer.money == (ChargeStatus.AUTHORIZED, 0, 0)

    def test_what_was_voided_before_it_was_confirmed_stays_so(self, asked):
        buyer, reply = asked
        assert buyer.void().outcome is Outcome.DONE
        self.confirm(reply, approved=True)
        assert buyer.money == (ChargeStatus.VOIDED, 0, 0)
        assert buyer.capture().outcome is Outcome.REFUSED

    def test_a_lost_answer_can_be_looked_up(self, lossy):
        gateway, proxy = lossy
        buyer = Buyer(gateway, self.asks_the_buyer)
        proxy.lose_answers(1)
        assert buyer.authorize().outcome is Outcome.UNKNOWN
        assert buyer.money == (ChargeStatus.PENDING, 0, 0)
        assert buyer.authorize().outcome is Outcome.PENDING


class ActsByItself:
    """The part of the contract about what the bank does without being asked. `reverse` has it take money back."""

    def reverse(self, authorization_key: str) -> None:
        """Take back as the bank does."""
        raise NotImplementedError

    def test_the_bank_takes_back_what_was_captured(self, buyer):
        buyer.authorize()
        buyer.capture()
        self.reverse(buyer.key)
        assert buyer.money == (ChargeStatus.REVERSED, 1299, 0)
        assert buyer.charge.reversed_minor == 1299
        assert buyer.refund().code == "nothing_to_refund"
        assert buyer.refund(100, key="part").outcome is Outcome.REFUSED

    def test_what_was_given_back_already_is_not_taken_back(self, buyer):
        buyer.authorize()
        buyer.capture()
        buyer.refund(299)
        self.reverse(buyer.key)
        charge = buyer.charge
        assert (charge.captured_minor, charge.refunded_minor, charge.reversed_minor) == (1299, 299, 1000)


class SendsWebhooks:
    """The part of the contract about webhooks. `webhook` makes a genuine one."""

    def webhook(self, buyer: Buyer, *, age: timedelta = timedelta()) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a genuine webhook about `buyer`, signed so long ago."""
        raise NotImplementedError

    def test_a_webhook_names_the_charge_by_our_own_key(self, buyer):
        reply = buyer.authorize()
        headers, body = self.webhook(buyer)
        notice = buyer.gateway.verify(body=body, headers=headers)
        assert (notice.authorization_key, notice.reference) == (buyer.key, reply.reference)
        assert notice.event_id
        assert abs(notice.occurred_at - datetime.now(UTC)) < timedelta(seconds=60)

    @pytest.mark.parametrize("age", [timedelta(seconds=310), timedelta(seconds=-400)])
    def test_a_webhook_that_was_signed_too_long_ago_is_refused(self, buyer, age):
        buyer.authorize()
        headers, body = self.webhook(buyer, age=age)
        with pytest.raises(NotGenuine):
            buyer.gateway.verify(body=body, headers=headers)

    @pytest.mark.parametrize("age", [timedelta(seconds=240), timedelta(seconds=-290)])
    def test_a_webhook_may_be_five_minutes_on_its_way(self, buyer, age):
        buyer.authorize()
        headers, body = self.webhook(buyer, age=age)
        assert buyer.gateway.verify(body=body, headers=headers).authorization_key == buyer.key

    def test_a_webhook_that_was_tampered_with_is_refused(self, buyer):
        buyer.authorize()
        headers, body = self.webhook(buyer)
        with pytest.raises(NotGenuine):
            buyer.gateway.verify(body=body + b" ", headers=headers)
        for name in headers:
            forged = {**headers, name: headers[name][:-4] + "AAA="}
            if forged != headers and name.lower() != "content-type":
                with pytest.raises(NotGenuine):
                    buyer.gateway.verify(body=body, headers=forged)

    def test_a_webhook_without_a_signature_is_refused(self, gateway):
        for headers in ({}, {"Authorization": "Bearer x"}):
            with pytest.raises(NotGenuine):
                gateway.verify(body=b"{}", headers=headers)
