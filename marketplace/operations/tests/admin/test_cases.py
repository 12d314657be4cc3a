"""Cases of the reconciliation in the admin: what is shown, and who deals with one, with a reason."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from payments import reconciliation
from payments.gateways.base import ChargeStatus
from payments.models import ReconciliationCase
from payments.tasks import reconcile

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "admin:payments_reconciliationcase_changelist"


@pytest.fixture
def case(shop, monkeypatch):
    """Money is held at the bank for an order that nobody placed."""
    since, key = database_now(), f"{uuid4()}:<b>"
    asked = {"key": key, "amount_minor": 700, "currency": "EUR", "method": "tok_visa", "metadata": {}}
    shop.gateway.gateway().authorize(**asked)
    reconciliation.reconcile(since=since, pause=lambda seconds: None)
    return ReconciliationCase.objects.get(key=key)


def page(case, name):
    return reverse("admin:payments_reconciliationcase_deal", args=[case.pk, name])


def read(browser, case):
    return browser.get(reverse("admin:payments_reconciliationcase_change", args=[case.pk])).content.decode()


def person(*codenames):
    user = User.objects.create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    browser = Client()
    browser.force_login(user)
    return browser


def test_the_list_and_the_page_say_what_both_sides_believe(case, staff):
    listed = staff.get(reverse(LIST)).content.decode()
    told = read(staff, case)
    for html in (listed, told):
        assert "AUTHORIZED 7.00 EUR" in html
        assert "charge without a payment" in html.lower()
    assert "<b>" not in told
    assert page(case, "settle") in told
    assert page(case, "close") in told


def test_what_will_be_done_is_said_before_it_is_done(case, staff, shop):
    html = staff.get(page(case, "settle")).content.decode()
    assert "The charge is voided, or what was taken of it is refunded." in html
    assert shop.gateway.charge(case.key).status is ChargeStatus.AUTHORIZED


def test_settling_does_it_once_and_on_record(case, staff, shop):
    answer = staff.post(page(case, "settle"), {"reason": "nobody ordered that"}, follow=True)
    assert "The authorization was voided." in answer.content.decode()
    assert shop.gateway.charge(case.key).status is ChargeStatus.VOIDED
    case.refresh_from_db()
    assert (case.status, case.actor, case.reason) == ("SETTLED", "staff", "nobody ordered that")
    assert staff.post(page(case, "settle"), {"reason": "again"}).status_code == 404


@pytest.mark.parametrize("name", ["settle", "close"])
def test_without_a_reason_nothing_is_done(case, staff, shop, name):
    assert staff.post(page(case, name), {"reason": " "}).status_code == 200
    case.refresh_from_db()
    assert case.status == "OPEN"
    assert shop.gateway.charge(case.key).status is ChargeStatus.AUTHORIZED


def test_a_gateway_that_is_down_leaves_it_open_and_says_so(case, staff, shop):
    shop.gateway.stop()
    answer = staff.post(page(case, "settle"), {"reason": "x"}, follow=True)
    assert "The case stays open" in answer.content.decode()
    case.refresh_from_db()
    assert case.status == "OPEN"


def test_who_may_only_read_is_offered_nothing_and_may_do_nothing(case, shop):
    reader = person("view_reconciliationcase")
    assert page(case, "settle") not in read(reader, case)
    assert reader.post(page(case, "settle"), {"reason": "x"}).status_code == 403
    assert person_without_any().get(reverse(LIST)).status_code == 403
    assert shop.gateway.charge(case.key).status is ChargeStatus.AUTHORIZED


def person_without_any():
    browser = Client()
    browser.force_login(User.objects.create(username="nobody", is_staff=True))
    return browser


def test_what_no_button_settles_is_only_closed_by_hand(case, staff):
    ReconciliationCase.objects.update(kind="missing_charge")
    case.refresh_from_db()
    assert page(case, "settle") not in read(staff, case)
    assert staff.post(page(case, "settle"), {"reason": "x"}).status_code == 404
    staff.post(page(case, "close"), {"reason": "called the bank"})
    case.refresh_from_db()
    assert (case.status, case.reason) == ("BY_HAND", "called the bank")


def test_beat_looks_by_itself(case, monkeypatch):
    monkeypatch.setattr(reconciliation, "LOOK_AGAIN_SECONDS", 0.0)
    assert reconcile() >= 1
