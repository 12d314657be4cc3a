"""What is PayPal's own: a buyer who approves on PayPal's page, orders known by PayPal's id only, reports that lag."""

from datetime import UTC, datetime, timedelta

import pytest

from payments.gateways.base import ChargeStatus, GatewayUnavailable, NotGenuine, Outcome
from payments.gateways.paypal import webhooks
from payments.gateways.paypal.client import PayPalGateway
from payments.tests.gateways.contract import Buyer
from payments.tests.gateways.paypal import fake

BACK = "https://shop.example/orders/1"


@pytest.fixture
def paypal():
    with fake.running() as server:
        yield server


@pytest.fixture
def gateway(paypal):
    return PayPalGateway(base=paypal.url, client_id="test", secret="secret", timeout_seconds=30)


class Shopper(Buyer):
    """A buyer who is sent to PayPal's page. We keep the order's id, as the shop does."""

    def authorize(self, **changes):
        reply = super().authorize(return_url=BACK, **changes)
        self.reference = reply.reference or self.reference
        return reply

    def void(self, *, key="void"):
        return self.gateway.void(key=f"{self.key}:{key}", authorization_key=self.key, reference=self.reference)

    @property
    def charge(self):
        return self.gateway.find(authorization_key=self.key, reference=self.reference)


@pytest.fixture
def shopper(gateway):
    return Shopper(gateway, fake.PAGE)


@pytest.fixture
def account(gateway):
    return Buyer(gateway, fake.APPROVED)


# --- on PayPal's page -------------------------------------------------------------------------------------------------


def test_a_buyer_is_sent_to_paypal_and_nothing_is_held_yet(paypal, shopper):
    reply = shopper.authorize()
    assert (reply.outcome, reply.code) == (Outcome.PENDING, "requires_action")
    assert reply.action_url.startswith(f"{paypal.url}/checkoutnow?token=")
    assert shopper.money == (ChargeStatus.PENDING, 0, 0)


def test_an_approved_one_is_authorized_by_looking_at_it(paypal, shopper):
    shopper.authorize()
    paypal.approve(shopper.reference)
    assert shopper.money == (ChargeStatus.AUTHORIZED, 0, 0)
    assert shopper.money == (ChargeStatus.AUTHORIZED, 0, 0)
    assert shopper.capture().outcome is Outcome.DONE
    assert shopper.money == (ChargeStatus.CAPTURED, 1299, 0)


def test_one_that_is_not_approved_yet_can_not_be_captured(shopper):
    shopper.authorize()
    reply = shopper.capture()
    assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, "authorization_pending", True)


def test_a_voided_one_is_never_authorized_although_the_buyer_approves(paypal, shopper):
    shopper.authorize()
    assert shopper.void().outcome is Outcome.DONE
    paypal.approve(shopper.reference)
    assert shopper.money == (ChargeStatus.VOIDED, 0, 0)
    assert shopper.capture().code == "authorization_voided"
    assert paypal.orders[shopper.reference]["purchase_units"][0]["payments"] == {}


def test_a_void_in_the_middle_of_the_authorization_lets_go_of_it(paypal, shopper):
    shopper.authorize()
    paypal.approve(shopper.reference)

    def void_meanwhile(order):  # another worker's patch has come through a moment before
        order["purchase_units"][0]["custom_id"] = f"void!{shopper.key}"

    paypal.on_authorize = void_meanwhile
    assert shopper.money == (ChargeStatus.VOIDED, 0, 0)


def test_an_authorization_in_the_middle_of_the_void_is_let_go_by_it(paypal, shopper):
    """Somebody has looked at what the buyer had just approved, between our look and our mark."""
    shopper.authorize()
    paypal.approve(shopper.reference)
    paypal.before_patch = paypal._authorize
    assert shopper.void().outcome is Outcome.DONE
    assert shopper.money == (ChargeStatus.VOIDED, 0, 0)


def test_one_that_paypal_declines_after_the_approval_is_declined_for_good(paypal, shopper):
    shopper.authorize()
    paypal.approve(shopper.reference)
    paypal.declines.add(shopper.reference)
    charge = shopper.charge
    assert (charge.status, charge.failure_code) == (ChargeStatus.DECLINED, "instrument_declined")
    paypal.declines.clear()
    assert shopper.money == (ChargeStatus.DECLINED, 0, 0)
    assert paypal.orders[shopper.reference]["purchase_units"][0]["payments"] == {}
    assert shopper.void().outcome is Outcome.DONE
    headers, body = paypal.webhook(shopper.reference, webhook_id="WH-1", kind="CHECKOUT.ORDER.APPROVED")
    shopper.gateway._webhook_id = "WH-1"
    assert shopper.gateway.verify(body=body, headers=headers).authorization_key == shopper.key


def test_a_page_is_told_the_order_that_its_buttons_show(paypal, gateway, shopper):
    shopper.authorize()
    widget = gateway.widget(amount_minor=1299, currency="EUR")
    assert (widget.name, widget.public_key) == ("paypal", "test")
    assert widget.parameters == {"currency": "EUR", "intent": "authorize"}
    assert gateway.confirmation(reference=shopper.reference) == {"orderId": shopper.reference}


def test_a_lost_answer_names_the_same_order_again(paypal, gateway):
    shopper = Shopper(gateway, fake.PAGE)
    paypal.lose_answers(1)
    assert shopper.authorize().outcome is Outcome.UNKNOWN
    reply = shopper.authorize()
    assert reply.outcome is Outcome.PENDING
    assert list(paypal.orders) == [reply.reference]


def test_a_lost_order_is_voided_by_its_key_alone(paypal, gateway):
    shopper = Shopper(gateway, fake.PAGE)
    paypal.lose_answers(1)
    shopper.authorize()
    assert shopper.void().outcome is Outcome.DONE
    (order_id,) = paypal.orders
    paypal.approve(order_id)
    assert gateway.find(authorization_key=shopper.key, reference=order_id).status is ChargeStatus.VOIDED


def test_a_webhook_about_an_approval_names_the_order_and_our_key(gateway, paypal, shopper):
    gateway._webhook_id = "WH-1"
    shopper.authorize()
    paypal.approve(shopper.reference)
    headers, body = paypal.webhook(shopper.reference, webhook_id="WH-1", kind="CHECKOUT.ORDER.APPROVED")
    notice = gateway.verify(body=body, headers=headers)
    assert (notice.authorization_key, notice.reference) == (shopper.key, shopper.reference)


@pytest.mark.parametrize(
    "address",
    [
        "https://paypal.com.evil.example/cert",
        "https://evilpaypal.com/cert",
        "http://api.paypal.com/cert",
        "https://api.paypal.com:8443/cert",
        "https://user@api.paypal.com/cert",
        "https://api.paypal.com:x/cert",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_certificate_from_elsewhere_is_not_even_fetched(gateway, paypal, shopper, address, monkeypatch):
    gateway._webhook_id = "WH-1"
    shopper.authorize()
    headers, body = paypal.webhook(shopper.reference, webhook_id="WH-1", kind="CHECKOUT.ORDER.APPROVED")
    monkeypatch.setattr(webhooks.httpx, "get", lambda *_, **__: pytest.fail("it was fetched"))
    with pytest.raises(NotGenuine):
        gateway.verify(body=body, headers={**headers, "PAYPAL-CERT-URL": address})


@pytest.mark.parametrize(
    "address", ["https://evil.example\\.paypal.com/", "https://a b.paypal.com/", "https://xn--.paypal.com/"]
)
def test_an_address_that_nobody_can_read_is_not_paypals(gateway, paypal, shopper, address):
    gateway._webhook_id = "WH-1"
    shopper.authorize()
    headers, body = paypal.webhook(shopper.reference, webhook_id="WH-1", kind="CHECKOUT.ORDER.APPROVED")
    with pytest.raises(NotGenuine):
        gateway.verify(body=body, headers={**headers, "PAYPAL-CERT-URL": address})


def test_a_webhook_for_another_shop_is_not_ours(gateway, paypal, shopper):
    gateway._webhook_id = "WH-1"
    shopper.authorize()
    headers, body = paypal.webhook(shopper.reference, webhook_id="WH-2", kind="CHECKOUT.ORDER.APPROVED")
    with pytest.raises(NotGenuine):
        gateway.verify(body=body, headers=headers)


# --- reports that lag -------------------------------------------------------------------------------------------------


def test_a_lost_charge_that_is_not_reported_yet_is_voided_all_the_same(paypal, account):
    paypal.report_lag = timedelta(hours=3)
    paypal.lose_answers(1)
    assert account.authorize().outcome is Outcome.UNKNOWN
    assert account.void().outcome is Outcome.DONE
    paypal.report_lag = timedelta()
    assert account.money == (ChargeStatus.VOIDED, 0, 0)


def test_an_order_made_only_to_use_up_a_key_is_no_charge(paypal, account):
    account.void()
    (order,) = paypal.orders.values()
    assert order["purchase_units"][0]["payments"] == {}
    assert account.gateway.find(authorization_key=account.key, reference=order["id"]) is None
    assert list(account.gateway.list(since=datetime.now(UTC) - timedelta(minutes=1))) == []


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "nothing_happened"), [(500, False), (503, False), (429, True), (403, True)])
def test_an_outage_is_no_decline(paypal, account, status, nothing_happened):
    paypal.outage = status
    for reply in (account.authorize(), account.void(), account.refund(), account.capture()):
        assert (reply.outcome, reply.nothing_happened) == (Outcome.UNKNOWN, nothing_happened)
    with pytest.raises(GatewayUnavailable):
        _ = account.charge


def test_wrong_credentials_are_no_decline(paypal):
    stranger = PayPalGateway(base=paypal.url, client_id="test", secret="wrong", timeout_seconds=30)
    reply = Buyer(stranger, fake.APPROVED).authorize()
    assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, "unauthorized", True)


# --- keys and amounts -------------------------------------------------------------------------------------------------


def test_a_key_longer_than_paypal_takes_is_found_again(gateway):
    buyer = Buyer(gateway, fake.APPROVED)
    buyer.key = "k" * 255
    buyer.authorize()
    assert buyer.authorize().outcome is Outcome.DONE
    assert buyer.money == (ChargeStatus.AUTHORIZED, 0, 0)


@pytest.mark.parametrize(
    ("currency", "ours", "paypals"),
    [("EUR", 1299, "12.99"), ("JPY", 1299, "1299"), ("KWD", 12990, "12.990"), ("HUF", 129900, "1299")],
)
def test_says_amounts_in_paypals_spelling_and_reads_them_back(paypal, gateway, currency, ours, paypals):
    buyer = Buyer(gateway, fake.APPROVED, amount_minor=ours, currency=currency)
    assert buyer.authorize().amount_minor == ours
    (order,) = paypal.orders.values()
    assert order["purchase_units"][0]["amount"] == {"currency_code": currency, "value": paypals}
    assert buyer.capture().amount_minor == ours
    assert buyer.refund().amount_minor == ours
    assert buyer.money == (ChargeStatus.REFUNDED, ours, ours)


def test_half_a_forint_is_refused_not_rounded(paypal, gateway):
    reply = Buyer(gateway, fake.APPROVED, amount_minor=129_950, currency="HUF").authorize()
    assert (reply.outcome, reply.code) == (Outcome.REFUSED, "invalid_request")
    assert not paypal.orders


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_a_refund_at_the_dashboard_is_told_apart_from_ours(paypal, shopper):
    shopper.authorize()
    paypal.approve(shopper.reference)
    assert shopper.money == (ChargeStatus.AUTHORIZED, 0, 0)
    shopper.capture()
    theirs = paypal.refund_at_the_dashboard(shopper.reference, "3.00")
    ours = shopper.gateway.refund(
        key=f"{shopper.key}:refund", authorization_key=shopper.key, amount_minor=299, reference=shopper.reference
    )
    seen = [(made.reference, made.key, made.amount_minor) for made in shopper.charge.refunds]
    assert seen == [(theirs, "", 300), (ours.reference, f"{shopper.key}:refund", 299)]


def test_a_webhook_about_such_a_refund_leads_to_the_order_by_its_capture(gateway, paypal, shopper):
    gateway._webhook_id = "WH-1"
    shopper.authorize()
    paypal.approve(shopper.reference)
    assert shopper.money == (ChargeStatus.AUTHORIZED, 0, 0)
    shopper.capture()
    paypal.refund_at_the_dashboard(shopper.reference, "3.00")
    headers, body = paypal.webhook(shopper.reference, webhook_id="WH-1", kind="PAYMENT.CAPTURE.REFUNDED")
    notice = gateway.verify(body=body, headers=headers)
    assert (notice.authorization_key, notice.reference[:12]) == ("", "capture:CAPT")
    assert gateway.charge_behind(reference=notice.reference) == shopper.reference
    assert gateway.charge_behind(reference="capture:OTHER") == ""
    assert gateway.charge_behind(reference=shopper.reference) == ""


def test_a_refund_that_paypal_has_not_finished_is_none_yet(paypal, shopper):
    shopper.authorize()
    paypal.approve(shopper.reference)
    assert shopper.money == (ChargeStatus.AUTHORIZED, 0, 0)
    shopper.capture()
    asked = {"key": "k", "authorization_key": shopper.key, "amount_minor": 299, "reference": shopper.reference}
    assert shopper.gateway.refund(**asked).outcome is Outcome.DONE
    (made,) = paypal.orders[shopper.reference]["purchase_units"][0]["payments"]["refunds"]
    made["status"] = "PENDING"
    reply = shopper.gateway.refund(**asked)
    assert (reply.outcome, reply.code, reply.reference) == (Outcome.PENDING, "refund_pending", made["id"])
    assert shopper.money == (ChargeStatus.CAPTURED, 1299, 0)
    made["status"] = "FAILED"
    assert shopper.charge.refunds == ()
