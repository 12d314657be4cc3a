"""From a return's own events to a real mail server: what its buyer hears of it, and what only staff read."""

import pytest
from django.db import transaction

from marketplace.kernel.clock import database_now
from marketplace.outbox.models import OutboxEvent, Unpublished, shard_of
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.testing import let_come
from orders import refunds
from orders import services as orders
from orders.invoicing import selectors as invoices
from orders.messages import locales
from orders.messages.models import Message
from orders.messages.selectors import post
from orders.returns import selectors, services
from orders.returns.services import Back
from orders.services import NewOrder, OrderLineRequest
from tests.messages.conftest import BERLIN
from tests.shop import delivered

pytestmark = pytest.mark.django_db(transaction=True)

OURS = "seen on the camera, see ticket 4711"  # what staff write for each other
SUBJECTS = {
    "en": ["Your return {}", "Please send it back: your return {}"],
    "de": ["Ihre Rücksendung {}", "Bitte senden Sie es zurück: Ihre Rücksendung {}"],
}


@pytest.fixture
def asked(shop, sandbox_carrier, send, postman):
    """Two lamps and a mouse are delivered, their buyer has read all about it, and asks to return something."""
    shop.stocked("lamp", 2, price_minor=129900)
    shop.stocked("mouse", 1, price_minor=500)

    def ask(*, language="en", **lines):
        wanted = NewOrder(
            lines=(OrderLineRequest(quantity=2, sku="lamp"), OrderLineRequest(quantity=1, sku="mouse")),
            email="ada@example.org",
            shipping_address=BERLIN,
            payment_method="tok_visa",
            language=language,
        )
        with transaction.atomic():
            order = orders.place(wanted, now=database_now())
        order = delivered(shop, order, sandbox_carrier)
        send()
        postman.taken.clear()
        lines = lines or {"lamp": 1, "mouse": 1}
        wish = services.request(order.id, lines=lines, reason="Too bright.", actor="", now=database_now())
        shop.work()
        return wish

    return ask


@pytest.fixture
def decide(shop):
    def until_worked(wish, verdict="APPROVED", reason=OURS):
        services.decide(wish.id, verdict, actor="wanda", reason=reason, now=database_now())
        shop.work()

    return until_worked


@pytest.fixture
def receive(shop):
    def until_worked(wish, **back):
        services.receive(wish.id, back=back, reason=OURS, actor="wanda", now=database_now())
        shop.work()

    return until_worked


def told(wish):
    rows = Message.objects.filter(detail__contains={"returnId": str(wish.id)}) | Message.objects.filter(
        detail__contains={"refundId": str(wish.id)}
    )
    return list(rows.order_by("created_at").values_list("kind", "status"))


def make_due():
    """As the clock would."""
    Message.objects.filter(due_at__isnull=False).update(due_at=database_now())


def said_by(mail):
    return (mail.text, mail.html)


@pytest.mark.parametrize("language", SUBJECTS)
def test_an_approved_return_says_where_it_goes_with_what_in_it(*, asked, decide, send, postman, settings, language):
    settings.SHIP_FROM_STREET = "Hallenweg 7"
    wish = asked(language=language)
    send()
    decide(wish)
    send()

    now = selectors.get(wish.id)
    wished, approved = postman.taken
    assert [mail.subject.strip() for mail in postman.taken] == [one.format(wish.number) for one in SUBJECTS[language]]
    for said in said_by(wished):
        assert locales.day(wish.answer_by, language) in said
        assert "Hallenweg 7" not in said, "nothing is to be sent yet"
    for said in said_by(approved):
        assert wish.number in said.partition(wish.number)[2], "the number goes onto the parcel too"
        assert locales.day(now.arrive_by, language) in said
        for line in (
            settings.SELLER_NAME,
            "Hallenweg 7",
            "10115 Berlin",
            {"en": "GERMANY", "de": "DEUTSCHLAND"}[language],
        ):
            assert line in said
        assert "1 × The lamp" in said  # noqa: RUF001
        assert "1 × The mouse" in said  # noqa: RUF001
        assert locales.money(129900, "EUR", language) in said
        assert "Street 1" not in said, "that is where the buyer lives"
        assert OURS not in said


def test_what_is_back_and_paid_is_told_by_one_mail(asked, decide, receive, send, postman):
    wish = asked()
    decide(wish)
    send()
    postman.taken.clear()
    receive(wish, lamp=Back(written_off=1))
    send()
    make_due()
    send()

    [mail] = postman.taken
    assert mail.subject.startswith("Your refund for order")
    for said in said_by(mail):
        assert f"Your return {wish.number} is here. Thank you!" in said
        assert "This came back: 1 × The lamp." in said  # noqa: RUF001
        assert "We have sent €1,299.00 of what you paid back to you." in said
        assert OURS not in said
    [note] = invoices.credit_notes(wish.order_id)
    [paper] = mail.mail.iter_attachments()
    assert (paper.get_filename(), note.amount_minor) == (f"credit-note-{note.number}.pdf", 129900)
    assert told(wish) == [
        ("return_requested", "SKIPPED"),
        ("return_approved", "SENT"),
        ("return_received", "SKIPPED"),
        ("refunded", "SENT"),
    ]
    skipped = Message.objects.get(kind="return_received")
    assert skipped.outcome == "Not sent, because the mail about the money says it."


def test_where_the_bank_is_away_the_parcel_is_told_of_first(
    *, asked, decide, receive, send, shop, postman, sandbox_server
):
    wish = asked()
    decide(wish)
    send()
    sandbox_server.stop()
    receive(wish, lamp=Back(restocked=1))
    send()
    assert [mail.subject for mail in postman.taken] == [f"Please send it back: your return {wish.number}"]
    measured = post(now=database_now())
    assert (measured.waiting, measured.oldest_seconds) == (1, 0.0), "it waits on purpose, and nobody is late"

    make_due()
    send()
    sandbox_server.start()
    SagaInstance.objects.filter(pk=wish.saga_id).update(due_at=database_now())
    shop.work()
    send()

    arrived, refunded = postman.taken[1:]
    assert arrived.subject == f"Your return {wish.number} has arrived"
    assert "Your money is on its way back to you." in arrived.text
    assert OURS not in arrived.text + arrived.html
    assert "We have sent €1,299.00" in refunded.text


@pytest.mark.parametrize(("language", "says"), [("en", "Our team says: “{}”"), ("de", "Unser Team sagt: „{}“")])
def test_a_rejection_tells_the_reason_that_is_the_buyers(*, asked, decide, send, postman, language, says):
    wish = asked(language=language)
    decide(wish, "REJECTED", "It was used <b>often</b>.")
    send()

    [mail] = postman.taken
    assert wish.number in mail.subject
    assert says.format("It was used <b>often</b>.") in mail.text
    assert says.format("It was used &lt;b&gt;often&lt;/b&gt;.") in mail.html
    assert told(wish) == [("return_requested", "SKIPPED"), ("return_rejected", "SENT")]


def test_nothing_is_told_of_what_the_buyer_has_withdrawn(asked, send, shop, postman):
    wish = asked()
    services.withdraw(wish.id, actor="", now=database_now())
    shop.work()
    send()

    assert postman.taken == []
    assert told(wish) == [("return_requested", "SKIPPED")]


@pytest.mark.parametrize("approved", [False, True])
def test_a_return_that_runs_out_of_time_says_whose_turn_it_was(*, asked, decide, send, shop, postman, approved):
    wish = asked()
    if approved:
        decide(wish)
    saga = SagaInstance.objects.get(pk=wish.saga_id)
    let_come(saga.id, saga.wait_until)
    shop.work()
    send()

    [mail] = postman.taken
    assert mail.subject == f"Your return {wish.number} has ended"
    assert ("Your parcel was not here by" in mail.text, "We did not answer in time" in mail.text) == (
        approved,
        not approved,
    )


def test_a_return_without_a_refund_of_its_own_is_told_by_its_end(*, asked, decide, receive, send, shop, postman):
    """All of the money was given back by hand before the parcel came."""
    wish = asked()
    decide(wish)
    refunds.refund(wish.order_id, amount_minor=None, actor="ada", reason="goodwill", key="by hand", now=database_now())
    shop.work()
    send()
    postman.taken.clear()
    receive(wish, lamp=Back(restocked=1), mouse=Back(restocked=1))
    send()
    make_due()
    send()

    [mail] = postman.taken
    assert mail.subject == f"Your return {wish.number} has arrived"
    assert "No more money is due for it" in mail.text
    assert told(wish)[-2:] == [("return_received", "SKIPPED"), ("return_settled", "SENT")]


def test_events_that_come_again_send_nothing_again(*, asked, decide, receive, send, relay, postman):
    wish = asked()
    send()
    decide(wish)
    send()
    receive(wish, lamp=Back(restocked=1))
    send()
    before = len(postman.taken)
    again = OutboxEvent.objects.filter(saga_id=wish.saga_id)
    Unpublished.objects.bulk_create(Unpublished(shard=shard_of(one.saga_id), position=one.position) for one in again)
    relay()
    make_due()
    send()

    assert len(postman.taken) == before == 3


def test_the_events_carry_what_whoever_listens_needs_and_nothing_of_the_staffs(asked, decide, receive):
    wish = asked()
    decide(wish)
    receive(wish, lamp=Back(restocked=1))
    events = OutboxEvent.objects.filter(saga_id=wish.saga_id, type__startswith="RETURN_").order_by("sequence")

    said = {one.type: one.data for one in events}
    assert list(said) == ["RETURN_REQUESTED", "RETURN_APPROVED", "RETURN_RECEIVED", "RETURN_REFUNDED"]
    assert {one.topic for one in events} == {"order-events"}
    assert {one.subject_id for one in events} == {wish.order_id}
    for kind, data in said.items():
        assert (data["returnNumber"], data["status"]) == (wish.number, "DELIVERED")
        assert data["returnStatus"] == kind.removeprefix("RETURN_")
    now = selectors.get(wish.id)
    assert said["RETURN_REQUESTED"]["answerBy"] == now.answer_by.isoformat()
    assert said["RETURN_APPROVED"]["arriveBy"] == now.arrive_by.isoformat()
    assert said["RETURN_APPROVED"]["items"] == [{"sku": "lamp", "quantity": 1}, {"sku": "mouse", "quantity": 1}]
    assert said["RETURN_RECEIVED"]["items"] == [
        {"sku": "lamp", "quantity": 1, "restocked": 1, "writtenOff": 0},
        {"sku": "mouse", "quantity": 1, "restocked": 0, "writtenOff": 0},
    ]
    assert said["RETURN_REFUNDED"]["refundedAmount"] == "1299.00"
    assert OURS not in str(said)
    assert "Too bright." not in str(said)
