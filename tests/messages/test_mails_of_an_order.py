"""From a real order's events to a real mail server: which mails there are, once each, and what they say."""

from datetime import timedelta

import pytest
from django.db import transaction

from inventory.models import Reservation
from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.outbox.models import OutboxEvent, Unpublished, shard_of
from marketplace.outbox.services import append
from marketplace.paper.testing import pages
from orders import events, services, wording
from orders.messages import reminders, sending
from orders.messages.models import Kind, Message, Status
from orders.models import Order
from orders.services import NewOrder, OrderLineRequest
from tests.messages.conftest import BERLIN

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def place(shop):
    """Place an order with an address for mails, and work until nothing is due."""
    shop.stocked("lamp", 5, price_minor=129900)

    def place(*, quantity=1, token="tok_visa", email="ada@example.org", user="", language="en", work=True):
        lines = (OrderLineRequest(quantity=quantity, sku="lamp"),)
        wanted = NewOrder(
            lines=lines, user_id=user, email=email, shipping_address=BERLIN, payment_method=token, language=language
        )
        with transaction.atomic():
            order = services.place(wanted, now=database_now())
        if work:
            shop.work()
        return shop.now(order)

    return place


def told(order):
    return [(row.kind, row.status) for row in Message.objects.filter(order_id=order.id).order_by("created_at")]


def subjects(postman):
    return [mail.subject for mail in postman.taken]


def publish_again(*types):
    """As if the relay had died before it struck these events off."""
    events = OutboxEvent.objects.filter(type__in=types)
    rows = [Unpublished(shard=shard_of(event.saga_id), position=event.position) for event in events]
    Unpublished.objects.bulk_create(rows)


def test_a_confirmed_order_is_told_of_twice(place, send, postman):
    order = place()
    send()

    assert subjects(postman) == [f"Your order {order.number}", f"Your order {order.number} is confirmed"]
    confirmed = postman.taken[1]
    assert confirmed.recipient == "ada@example.org"
    assert confirmed.mail["Auto-Submitted"] == "auto-generated"
    assert confirmed.mail["Content-Language"] == "en"
    for said in (confirmed.text, confirmed.html):
        assert "Hello Ada Lovelace," in said
        assert "1 × The lamp" in said  # noqa: RUF001
        assert "€1,299.00" in said
        assert "10115 Berlin" in said
    assert "Your invoice is attached." in confirmed.text
    assert told(order) == [("received", "SENT"), ("confirmed", "SENT")]


def test_the_invoice_comes_with_the_confirmation_and_the_credit_note_with_the_cancel(place, shop, send, postman):
    order = place(language="de")
    send()
    services.cancel(order.id, actor="user-1", now=database_now())
    shop.work()
    send()

    enclosed = {
        mail.subject: [(part.get_filename(), part.get_content_type()) for part in mail.mail.iter_attachments()]
        for mail in postman.taken
    }
    papers = shop.now(order).papers
    invoice = (f"invoice-{papers.invoice}.pdf", "application/pdf")
    note = (f"credit-note-{papers.credit_notes[0]}.pdf", "application/pdf")
    assert [files for files in enclosed.values() if files] == [[invoice], [note]]
    [confirmed] = [mail for mail in postman.taken if list(mail.mail.iter_attachments())][:1]
    [part] = confirmed.mail.iter_attachments()
    text = "".join(page.text for page in pages(part.get_content())).replace("\xa0", " ")
    assert "Rechnung" in text
    assert "1.299,00 €" in text


def test_events_that_come_again_send_nothing_again(place, send, postman, relay):
    place()
    send()
    publish_again("ORDER_CREATED", "ORDER_CONFIRMED")
    relay()
    send()

    assert len(postman.taken) == 2
    assert Message.objects.count() == 2


def test_what_comes_in_disorder_is_told_only_as_far_as_it_is_news(place, send, postman):
    order = place()
    Unpublished.objects.filter(
        position__in=OutboxEvent.objects.filter(type="ORDER_CREATED").values("position")
    ).delete()
    send()
    publish_again("ORDER_CREATED")
    send()

    assert subjects(postman) == [f"Your order {order.number} is confirmed"]
    late = Message.objects.get(kind=Kind.RECEIVED)
    assert late.status == Status.SKIPPED
    assert late.outcome == "Not sent, because the buyer has read later news of it already."


def test_a_payment_that_failed_can_be_tried_again_from_the_mail(place, send, postman):
    order = place(token="tok_insufficient_funds")
    send()

    [mail] = postman.taken
    assert mail.subject == f"The payment for your order {order.number} failed"
    assert "No money was taken." in mail.text
    assert f"/orders/{order.id}/open/" in mail.text
    assert "to=try-again" in mail.text
    assert told(order) == [("received", "SKIPPED"), ("payment_failed", "SENT")]


def test_a_payment_that_failed_and_may_be_tried_anew_is_told_with_the_time_that_is_left(
    place, send, shop, postman, settings
):
    settings.PAYMENT_ATTEMPTS = 2
    order = place(token="tok_declined")
    send()

    assert told(order) == [("received", "SENT"), ("payment_failed", "SENT")]
    assert "Your things are still set aside for you until" in postman.taken[1].text
    Reservation.objects.update(expires_at=database_now() + timedelta(seconds=60))
    assert reminders.remind(now=database_now()) == 0  # the buyer knows until when

    services.pay(order.id, method="tok_visa", now=database_now())
    shop.work()
    send()
    assert subjects(postman)[2:] == [f"Your order {order.number} is confirmed"]


def test_a_rejected_buyer_is_not_accused(place, send, postman):
    order = place(token="tok_fraud")
    send()

    [mail] = postman.taken
    assert mail.subject == f"Your order {order.number} could not be completed"
    assert "We could not accept this order." in mail.text
    assert not any(word in (mail.text + mail.html).lower() for word in ("fraud", "suspicious", "reject", "deny"))


def test_what_is_short_is_told_line_by_line(place, send, postman):
    order = place(quantity=7)
    send()

    [mail] = postman.taken
    assert mail.subject == f"Out of stock: your order {order.number}"
    assert "The lamp: you asked for 7, only 5 left." in mail.text


def test_a_cancelled_order_that_was_paid_says_where_the_money_is(place, send, shop, postman):
    order = place()
    send()
    services.cancel(order.id, actor="", now=database_now())
    shop.work()
    send()

    assert subjects(postman)[2:] == [f"Your refund for order {order.number}", f"Your order {order.number} is cancelled"]
    refund, cancelled = postman.taken[2:]
    assert "We have sent €1,299.00 back to you. That is all that you paid for this order." in refund.text
    assert "You cancelled this order. Your money has been sent back." in cancelled.text


def test_a_mail_that_has_become_untrue_is_not_sent_and_says_why(place, send, shop, relay, postman):
    order = place()
    relay()
    services.cancel(order.id, actor="", now=database_now())
    shop.work()
    send()

    assert told(order)[:2] == [("received", "SKIPPED"), ("confirmed", "SKIPPED")]
    assert Message.objects.get(kind=Kind.CONFIRMED).outcome == "Not sent, because the order is CANCELLED by now."
    assert len(postman.taken) == 2  # the refund, and that it is cancelled


class TestReservationsThatEnd:
    @pytest.fixture(autouse=True)
    def _two_minutes_before(self, settings):
        settings.RESERVATION_TTL_SECONDS, settings.RESERVATION_REMINDER_SECONDS = 600, 120

    @staticmethod
    def nearly_over(*orders):
        until = database_now() + timedelta(seconds=60)
        ids = [order.id for order in orders]
        Reservation.objects.filter(owner_id__in=ids).update(expires_at=until)
        Order.objects.filter(pk__in=ids).update(reserved_until=until)

    def test_the_buyer_is_reminded_once(self, place, send, postman):
        order = place(token="")
        send()

        assert reminders.remind(now=database_now()) == 0
        self.nearly_over(order)
        assert reminders.remind(now=database_now()) == 1
        assert reminders.remind(now=database_now()) == 0
        send()

        assert subjects(postman) == [f"Your order {order.number}", f"Your reservation {order.number} ends soon"]

    def test_who_pays_meanwhile_hears_nothing_of_it(self, place, send, shop, postman):
        order = place(token="")
        self.nearly_over(order)
        reminders.remind(now=database_now())
        services.pay(order.id, method="tok_visa", now=database_now())
        shop.work()
        send()

        row = Message.objects.get(kind=Kind.EXPIRING)
        assert (row.status, row.outcome) == (Status.SKIPPED, "Not sent, because the buyer has chosen how to pay.")
        assert f"Your reservation {order.number} ends soon" not in subjects(postman)

    def test_buy_now_is_never_reminded(self, place):
        self.nearly_over(place(work=False))

        assert reminders.remind(now=database_now()) == 0
        assert not Message.objects.filter(kind=Kind.EXPIRING).exists()

    def test_a_short_hold_is_not_reminded_of_at_once(self, place, settings):
        settings.RESERVATION_TTL_SECONDS, settings.RESERVATION_REMINDER_SECONDS = 60, 300
        place(token="")

        assert reminders.remind(now=database_now()) == 0

    def test_many_are_found_chunk_by_chunk(self, place, monkeypatch):
        monkeypatch.setattr(reminders, "AT_ONCE", 2)
        orders = [place(token="") for _ in range(5)]
        self.nearly_over(*orders)  # at the same moment, all of them

        assert reminders.remind(now=database_now()) == len(orders)


class TestWhoIsWrittenTo:
    def test_the_account_where_the_order_names_nobody(self, place, send, postman):
        User.objects.create_user("ada", email="account@example.org")
        place(email="", user="ada")
        send()

        assert {mail.recipient for mail in postman.taken} == {"account@example.org"}

    def test_nobody_is_on_record_as_nobody(self, place, send, postman):
        order = place(email="")
        send()

        assert told(order) == [("received", "NO_RECIPIENT"), ("confirmed", "NO_RECIPIENT")]
        assert postman.taken == []

    def test_in_their_own_language(self, place, send, postman):
        order = place(language="de")
        send()

        assert Order.objects.get(pk=order.id).language == "de"
        confirmed = postman.taken[1]
        assert confirmed.subject == f"Ihre Bestellung {order.number} ist bestätigt"
        assert "Hallo Ada Lovelace," in confirmed.text
        assert "1.299,00\N{NO-BREAK SPACE}€" in confirmed.text
        assert confirmed.mail["Content-Language"] == "de"

    def test_what_a_bank_says_in_another_language_is_not_passed_on(self, place, send, postman):
        place(language="de", token="tok_insufficient_funds")
        send()

        [mail] = postman.taken
        assert "Die Zahlung hat nicht geklappt. Auf der Karte ist nicht genug Geld." in mail.text
        assert wording.failure("payment_declined", {"message": "Do not honor."}, refund="", language="de") == (
            "Die Zahlung hat nicht geklappt: Ihre Bank oder Karte hat sie abgelehnt. Es wurde kein Geld abgebucht."
        )


def test_the_log_shows_no_address(place, send, postman, caplog):
    place()
    send()

    ours = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("mail."))
    assert "message_sent" in ours
    assert "ada@example.org" not in ours


def test_one_batch_is_a_few_statements(place, relay, django_assert_max_num_queries):
    for _ in range(5):
        place(email="")
    with django_assert_max_num_queries(40):
        relay()
    assert sending.send_due().count == 0


class TestTheParcel:
    """By the contract of the events; what tells them is the saga that ships."""

    @staticmethod
    def tell(order, event_type, status, **data):
        row = Order.objects.get(pk=order.id)
        with transaction.atomic():
            Order.objects.filter(pk=order.id).update(status=status)
            row.__dict__["status"] = status
            append([events.about(row, event_type, data, saga_id=new_id())], now=database_now())

    def test_is_followed_from_the_mail_and_told_of_when_it_is_there(self, place, send, postman):
        order = place()
        send()
        self.tell(
            order,
            "ORDER_IN_TRANSIT",
            "IN_TRANSIT",
            carrier="Sandbox Parcel",
            tracking_number="SB123",
            tracking_url="https://carrier.example/SB123",
            estimated_delivery="2026-11-24",
        )
        send()
        self.tell(order, "ORDER_DELIVERED", "DELIVERED")
        send()

        on_the_way, delivered = postman.taken[2:]
        assert on_the_way.subject == f"Your order {order.number} is on the way"
        assert "Tracking number: SB123 (Sandbox Parcel)" in on_the_way.text
        assert "https://carrier.example/SB123" in on_the_way.text
        assert "November 24, 2026" in on_the_way.text
        assert delivered.subject == f"Your order {order.number} has arrived"

    def test_that_has_arrived_already_is_not_said_to_be_on_the_way(self, place, send, postman):
        order = place()
        send()
        self.tell(order, "ORDER_IN_TRANSIT", "IN_TRANSIT")
        self.tell(order, "ORDER_DELIVERED", "DELIVERED")
        send()

        assert subjects(postman)[2:] == [f"Your order {order.number} has arrived"]
        assert Message.objects.get(kind=Kind.ON_THE_WAY).outcome == "Not sent, because the order is DELIVERED by now."
