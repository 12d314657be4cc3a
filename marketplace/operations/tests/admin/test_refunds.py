"""Refunds in the admin: the form, who may use it, and the story of each."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from orders import services
from payments import services as payments
from payments.gateways.base import Outcome, Reply
from payments.models import Refund

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "admin:payments_refund_changelist"


@pytest.fixture
def sold(shop):
    """A confirmed order of 10.00 EUR."""
    shop.stocked("laptop", 1)
    return shop.bought("laptop")


def form(order):
    return reverse("admin:orders_order_refund", args=[order.id])


def order_page(browser, order):
    return browser.get(reverse("admin:orders_order_change", args=[order.id])).content.decode()


def person(*codenames):
    user = User.objects.create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    browser = Client()
    browser.force_login(user)
    return browser


def fill(browser, order, **changes):
    shown = browser.get(form(order)).context["form"]
    return {"amount": "3.00", "reason": "It came <late>.", "token": str(shown["token"].value()), **changes}


def test_a_part_is_given_back_and_its_story_is_told(shop, sold, staff):
    assert form(sold) in order_page(staff, sold)
    asked = staff.get(form(sold)).content.decode()
    assert "At most 10.00, which is all that is left." in asked

    answer = staff.post(form(sold), fill(staff, sold), follow=True).content.decode()
    assert "3.00 EUR: on record, and on its way to the buyer." in answer
    shop.work()

    assert shop.money(sold)[-1] == ("REFUND", 300)
    refund = Refund.objects.get()
    page = staff.get(reverse("admin:payments_refund_change", args=[refund.pk])).content.decode()
    listed = staff.get(reverse(LIST)).content.decode()
    payment = staff.get(reverse("admin:payments_payment_change", args=[refund.payment_id])).content.decode()
    for html in (page, listed, payment, order_page(staff, sold)):
        assert "It came &lt;late&gt;." in html
        assert "3.00 EUR" in html
    assert "The money is with the buyer" in page
    assert sold.number in listed
    asked = staff.get(form(sold)).content.decode()
    assert "At most 7.00" in asked


def test_pressing_twice_refunds_once(shop, sold, staff):
    data = fill(staff, sold)
    for _ in range(2):
        assert staff.post(form(sold), data).status_code == 302
    shop.work()
    assert shop.money(sold)[2:] == [("REFUND", 300)]
    assert Refund.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amount": "10.01"}, "Between nothing and 10.00 EUR can be given back."),
        ({"amount": "0"}, "It must be more than nothing."),
        ({"amount": "3.005"}, "Write an amount like 10.00"),
        ({"amount": "-3"}, "It must be more than nothing."),
        ({"amount": "three"}, "Write an amount like 10.00"),
        ({"reason": "  "}, "This field is required."),
    ],
)
def test_what_makes_no_sense_changes_nothing(sold, staff, changes, said):
    answer = staff.post(form(sold), fill(staff, sold, **changes))
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not Refund.objects.exists()


def test_who_may_look_may_not_refund(sold):
    browser = person("view_order", "view_refund", "view_payment")
    assert form(sold) not in order_page(browser, sold)
    assert browser.get(form(sold)).status_code == 403
    assert browser.post(form(sold), {"amount": "3.00", "reason": "x"}).status_code == 403
    assert browser.get(reverse(LIST)).status_code == 200


def test_who_may_refund_may(shop, sold):
    browser = person("view_order", "add_refund")
    assert form(sold) in order_page(browser, sold)
    assert browser.post(form(sold), fill(browser, sold)).status_code == 302
    assert Refund.objects.get().actor == "reader"


def test_there_is_no_button_where_nothing_can_go_back(shop, sold, staff):
    shop.stocked("mouse", 1)
    declined = shop.bought("mouse", token="tok_declined")
    assert form(declined) not in order_page(staff, declined)
    assert staff.get(form(declined)).status_code == 404
    services.cancel(sold.id, actor="user-1", now=database_now())
    assert form(sold) not in order_page(staff, sold)
    answer = staff.post(form(sold), fill(staff, sold)).content.decode()
    assert "This order is being taken back already" in answer


@pytest.mark.parametrize("by", ["number", "refund", "order", "reference", "who"])
def test_a_refund_is_found_by_what_people_have(shop, sold, staff, by):
    services.refund(sold.id, amount_minor=300, reason="Late.", actor="ada", key="click", now=database_now())
    shop.work()
    refund = Refund.objects.get()
    term = {
        "number": sold.number,
        "refund": refund.pk,
        "order": sold.id,
        "reference": refund.gateway_reference,
        "who": "ada",
    }[by]
    found = staff.get(reverse(LIST), {"q": str(term)}).content.decode()
    assert str(refund.pk) in found
    assert str(refund.pk) not in staff.get(reverse(LIST), {"q": "nobody"}).content.decode()


def test_its_saga_leads_to_the_order(shop, sold, staff):
    services.refund(sold.id, amount_minor=300, reason="Late.", actor="ada", key="click", now=database_now())
    shop.work()
    listed = staff.get(reverse("admin:sagas_sagainstance_changelist"), {"q": sold.number}).content.decode()
    assert "refund_payment" in listed
    assert listed.count(f">{sold.number}<") == 3  # with those that placed it, and ship it


def test_one_that_is_refused_is_to_be_seen_on_the_page_of_its_order(shop, sold, staff, monkeypatch):
    no = Reply(Outcome.REFUSED, code="insufficient_balance", message="The account is empty.")
    monkeypatch.setattr(payments, "send", lambda call: no)
    services.refund(sold.id, amount_minor=300, reason="Late.", actor="ada", key="click", now=database_now())
    shop.work()
    html = order_page(staff, sold)
    assert "A refund of this order needs a person" in html
    assert "The account is empty." in html
