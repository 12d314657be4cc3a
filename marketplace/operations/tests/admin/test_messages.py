"""Mails in the admin: what became of each, sending one again on record, and the mailbox where none is really sent."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction
from django.urls import reverse

from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from marketplace.mail.models import CollectedMail
from marketplace.operations import metrics
from orders import services
from orders.messages import sending
from orders.messages.intake import Wanted, write_down
from orders.messages.models import Kind, Message, Status
from orders.services import NewOrder, OrderLineRequest

pytestmark = pytest.mark.django_db

LIST = "admin:orders_message_changelist"
MAILBOX = "admin:mail_collectedmail_changelist"


@pytest.fixture
def message(shelf, django_capture_on_commit_callbacks):
    """A mail that is due, about an order that is there."""
    return _message()


def _message(email="ada@example.org"):
    order = NewOrder(lines=(OrderLineRequest(quantity=1, sku="laptop-1"),), email=email)
    with transaction.atomic():
        placed = services.place(order, now=database_now())
        write_down([Wanted(f"event {placed.id}", placed.id, Kind.RECEIVED)], now=database_now())
    return Message.objects.get(order_id=placed.id)


def page_of(message):
    return reverse("admin:orders_message_change", args=[message.pk])


def again(message):
    return reverse("admin:orders_message_again", args=[message.pk])


def filled_in(page, **changed):
    """What the form on `page` holds, as a browser would send it."""
    html = page.content.decode()
    wish = re.search(r'name="wish" value="([^"]+)"', html)[1]
    recipient = re.search(r'name="recipient" value="([^"]*)"', html)
    return {"wish": wish, "recipient": recipient[1] if recipient else "", "reason": "It never came.", **changed}


def reader(client, *codenames):
    user = User.objects.create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_message", *codenames]))
    client.force_login(user)
    return client


def test_the_list_says_what_became_of_each_and_shows_no_whole_address(message, staff):
    sending.send_due()
    page = staff.get(reverse(LIST)).content.decode()

    assert f"Your order {message.order.number}" in page
    assert "a…@example.org" in page
    assert "ada@example.org" not in page
    assert "SENT" in page


@pytest.mark.parametrize("field", ["number", "id", "email"])
def test_is_found_by_what_people_have_in_hand(message, staff, field):
    term = {"number": message.order.number, "id": str(message.order_id), "email": "Ada@example.org"}[field]

    assert message.order.number in staff.get(reverse(LIST), {"q": term}).content.decode().partition("<tbody")[2]
    assert message.order.number not in staff.get(reverse(LIST), {"q": "M-1"}).content.decode().partition("<tbody")[2]


def test_the_order_tells_of_its_mails(message, staff):
    order = staff.get(reverse("admin:orders_order_change", args=[message.order_id])).content.decode()

    assert page_of(message) in order


class TestSendingAgain:
    def test_is_a_mail_of_its_own_on_record(self, message, staff):
        sending.send_due()
        form = staff.get(again(message))
        answer = staff.post(again(message), filled_in(form, recipient="right@example.org"), follow=True)

        assert "It is on its way" in answer.content.decode()
        repeat = Message.objects.get(again_of=message.pk)
        assert (repeat.asked_by, repeat.reason, repeat.recipient) == ("staff", "It never came.", "right@example.org")
        sending.send_due()
        assert set(Message.objects.values_list("status", flat=True)) == {Status.SENT}
        assert CollectedMail.objects.values("message_id").distinct().count() == 2
        assert "for staff, to right@example.org: It never came." in staff.get(page_of(message)).content.decode()

    def test_pressed_twice_is_one_mail(self, message, staff):
        form = filled_in(staff.get(again(message)))
        staff.post(again(message), form)
        staff.post(again(message), form)

        assert Message.objects.filter(again_of=message.pk).count() == 1

    def test_needs_a_reason(self, message, staff):
        answer = staff.post(again(message), filled_in(staff.get(again(message)), reason=" "))

        assert answer.status_code == 200
        assert not Message.objects.filter(again_of=message.pk).exists()

    def test_needs_somebody_to_send_it_to(self, staff, shelf):
        message = _message(email="")
        assert message.status == Status.NO_RECIPIENT
        answer = staff.post(again(message), filled_in(staff.get(again(message)), recipient="no address"))

        assert answer.status_code == 200
        assert not Message.objects.filter(again_of=message.pk).exists()

    def test_what_is_untrue_by_now_is_not_sent_again(self, message, staff):
        Message.objects.filter(pk=message.pk).update(kind=Kind.DELIVERED)
        answer = staff.post(again(message), filled_in(staff.get(again(message))), follow=True)

        assert "It is not sent again, because the order is CREATED." in answer.content.decode()
        assert not Message.objects.filter(again_of=message.pk).exists()

    def test_is_for_whoever_has_been_given_it(self, message, client):
        reader(client)
        assert "Send again" not in client.get(page_of(message)).content.decode()
        assert client.get(again(message)).status_code == 403
        assert client.post(again(message), {}).status_code == 403

        allowed = reader_with(client, "resend_message")
        assert allowed.get(again(message)).status_code == 200


def reader_with(client, codename):
    user = User.objects.get(username="reader")
    user.user_permissions.add(Permission.objects.get(codename=codename))
    client.force_login(User.objects.get(username="reader"))
    return client


def test_what_failed_can_be_tried_again_together(message, staff):
    Message.objects.update(status=Status.FAILED, due_at=None, outcome="Given up.", tries=7)
    chosen = {"action": "try_again", "_selected_action": [str(message.pk)]}

    page = staff.post(reverse(LIST), chosen, follow=True).content.decode()

    assert "One mail is tried again." in page
    row = Message.objects.get()
    assert (row.status, row.tries, row.asked_by) == (Status.WAITING, 0, "staff")
    sending.send_due()
    assert Message.objects.get().status == Status.SENT


class TestMailbox:
    @pytest.fixture
    def mail(self, message):
        sending.send_due()
        return CollectedMail.objects.get()

    def test_shows_both_forms_of_a_mail_and_its_order(self, mail, message, staff):
        page = staff.get(reverse("admin:mail_collectedmail_change", args=[mail.pk])).content.decode()

        assert "Thank you! We have received your order" in page
        assert "auto-generated" in page
        assert message.order.number in page
        assert reverse("admin:mail_collectedmail_html", args=[mail.pk]) in page

    def test_the_html_can_do_nothing(self, mail, staff):
        answer = staff.get(reverse("admin:mail_collectedmail_html", args=[mail.pk]))

        assert "<!DOCTYPE html>" in answer.content.decode()
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"

    def test_is_found_by_the_order(self, mail, message, staff):
        assert mail.subject in staff.get(reverse(MAILBOX), {"q": message.order.number}).content.decode()
        assert mail.subject not in staff.get(reverse(MAILBOX), {"q": "M-1"}).content.decode()

    def test_is_for_whoever_may_look(self, mail, client):
        reader(client)
        for name in ("change", "html"):
            address = reverse(f"admin:mail_collectedmail_{name}", args=[mail.pk])
            assert client.get(address).status_code == 403
        assert client.get(reverse("admin:mail_collectedmail_attachment", args=[mail.pk, 1])).status_code == 403

    def test_what_is_not_enclosed_is_not_there(self, mail, staff):
        assert staff.get(reverse("admin:mail_collectedmail_attachment", args=[mail.pk, 1])).status_code == 404


def test_mails_that_wait_or_failed_are_measured(message, staff):
    metrics.kept.forget()
    measured = staff.get("/metrics").content.decode()
    assert "marketplace_mails_waiting 1.0" in measured
    assert "marketplace_mails_failed 0.0" in measured
    assert "1 waits" in staff.get("/admin/").content.decode()

    Message.objects.update(status=Status.FAILED, due_at=None)
    metrics.kept.forget()
    measured = staff.get("/metrics").content.decode()
    assert "marketplace_mails_waiting 0.0" in measured
    assert "marketplace_mails_failed 1.0" in measured
    assert "1 failed within a day" in staff.get("/admin/").content.decode()


def test_mails_that_wait_for_long_make_the_shop_degraded(message, staff):
    Message.objects.update(due_at=database_now().replace(year=2020))

    ready = staff.get("/health/ready").json()

    assert ready["checks"]["mails"]["status"] == "degraded"
    assert ready["checks"]["mails"]["waiting"] == 1
