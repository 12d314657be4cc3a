"""What a page must know to be paid in the browser, and the look that follows when the buyer has been there."""

from uuid import uuid4

import pytest

from payments import checkout, observations, selectors, tasks
from payments.tests.cashier import begin, open_payment, record, send, status
from payments.tests.gateways.stripe import fake


@pytest.mark.parametrize(
    "method",
    ["4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242", "tok_4242424242424242", "501800000912",
     "6304000000000000000", "card 4242.4242.4242.4242"],
)  # fmt: skip
def test_what_could_be_a_cards_number_is_known(method):
    assert checkout.looks_like_a_card(method)


@pytest.mark.parametrize(
    "method",
    ["tok_visa", "pm_1MtwBwLkdIwHu7ix28a3tqPa", "ctoken_1NnQUf2eZvKYlo2CIObdtbnb", "paypal", "", "tok_12345678901",
     "pm_12345678901234567890a", "123e4567-e89b-12d3-a456-426614174000"],
)  # fmt: skip
def test_a_token_is_no_card(method):
    assert not checkout.looks_like_a_card(method)


def test_the_sandbox_has_no_script_of_its_own(settings):
    settings.PAYMENT_GATEWAY = "sandbox"
    assert checkout.widget(amount_minor=1299, currency="EUR") is None


@pytest.fixture
def stripe(settings):
    with fake.running() as books:
        settings.PAYMENT_GATEWAY, settings.STRIPE_API_BASE = "stripe", books.url
        settings.STRIPE_SECRET_KEY, settings.STRIPE_PUBLISHABLE_KEY = "sk_test_1", "pk_test_1"
        yield books


@pytest.fixture
def asked(stripe, monkeypatch):
    """An order whose buyer has to confirm, and nobody who listens."""
    monkeypatch.setattr(observations, "_listeners", [])
    order = open_payment(method="ctoken_secure")
    call = begin("AUTHORIZE", order)
    record(call, send(call))
    return order


def payment_of(order):
    return selectors.payments_of([order])[order]


@pytest.mark.django_db(transaction=True)
class TestConfirming:
    @pytest.fixture(autouse=True)
    def _back(self, settings):
        settings.PAYMENT_RETURN_URL = "https://shop.example/orders/{order}"

    def test_the_page_is_told_the_secret_that_nobody_keeps(self, stripe, asked):
        intent = next(iter(stripe.intents.values()))
        assert checkout.confirmation(asked) == {"clientSecret": intent["client_secret"]}
        assert intent["client_secret"] not in repr(payment_of(asked))

    @pytest.mark.parametrize("approve", [True, False])
    def test_a_look_sees_what_the_buyer_has_decided(self, stripe, asked, approve):
        stripe.decide(payment_of(asked).authorization_key, approve=approve)
        tasks.look_at(str(payment_of(asked).id))
        assert status(asked)[0] == ("AUTHORIZED" if approve else "FAILED")
        assert checkout.confirmation(asked) == {}

    def test_a_look_too_early_changes_nothing(self, asked):
        tasks.look_at(str(payment_of(asked).id))
        assert status(asked)[0] == "PENDING"

    def test_a_provider_that_is_away_is_looked_at_another_time(self, stripe, asked):
        stripe.outage = 500, {"error": {"type": "api_error", "message": "Sorry."}}
        tasks.look_at(str(payment_of(asked).id))
        assert status(asked)[0] == "PENDING"

    def test_the_word_of_a_buyer_who_was_there_sends_a_worker_to_look(self, asked, monkeypatch):
        sent = []
        monkeypatch.setattr(checkout.current_app, "send_task", lambda name, args, **_: sent.append((name, args)))
        checkout.buyer_was_there(asked)
        assert sent == [("payments.tasks.look_at", [str(payment_of(asked).id)])]

    def test_a_broker_that_is_away_is_no_trouble_for_the_page(self, asked, monkeypatch):
        def away(*_, **__):
            raise ConnectionError("nobody listens")

        monkeypatch.setattr(checkout.current_app, "send_task", away)
        checkout.buyer_was_there(asked)

    def test_nobody_looks_at_what_waits_for_nobody(self, stripe, asked, monkeypatch):
        monkeypatch.setattr(checkout.current_app, "send_task", lambda *_, **__: pytest.fail("it was asked for"))
        checkout.buyer_was_there(uuid4())
        done = open_payment(method="ctoken_visa")
        call = begin("AUTHORIZE", done)
        record(call, send(call))
        checkout.buyer_was_there(done)
