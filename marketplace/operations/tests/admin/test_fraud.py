"""Fraud in the admin: rules and the deny list are kept on record, reviews are decided with a reason, by who may."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from marketplace.accounts.models import User
from marketplace.operations.metrics import kept
from orders.fraud.models import DenyEntry, FraudRule, Review, RuleChange

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held(shop):
    """An order that waits for a person."""
    return shop.bought("laptop-1", token="tok_review")


def person(*codenames):
    user = User.objects.create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    browser = Client()
    browser.force_login(user)
    return browser


def deciding(order, name):
    return reverse("admin:orders_review_decide", args=[Review.objects.get(order_id=order.id).pk, name])


def text(response):
    return response.content.decode()


# --- reviews ----------------------------------------------------------------------------------------------------------


def test_who_waits_is_on_the_dashboard_in_the_list_and_in_the_metrics(held, staff, client):
    for address in ("admin:index", "admin:orders_review_changelist"):
        told = text(staff.get(reverse(address)))
        assert held.number in told
        assert "the payment provider sees an elevated risk" in told.lower()
        assert "in 2 d" in told
    kept.forget()
    measured = text(client.get("/metrics"))
    assert "marketplace_reviews_waiting 1.0" in measured
    assert 'marketplace_recent_reviews{status="PENDING"} 1.0' in measured
    left = next(line for line in measured.splitlines() if line.startswith("marketplace_reviews_time_left_seconds"))
    assert 172_000 < float(left.split()[1]) <= 172_800


def test_the_list_begins_with_whose_time_is_up_first_and_shows_the_others_when_asked(shop, staff):
    first, second, decided = (shop.bought("laptop-1", token="tok_review") for _ in range(3))
    staff.post(deciding(decided, "reject"), {"reason": "No."})
    shop.work()
    listed = text(staff.get(reverse("admin:orders_review_changelist")))
    assert listed.index(first.number) < listed.index(second.number)
    assert decided.number not in listed
    rejected = text(staff.get(reverse("admin:orders_review_changelist") + "?state=REJECTED"))
    assert decided.number in rejected
    assert first.number not in rejected
    assert first.number in text(staff.get(reverse("admin:orders_review_changelist") + "?state=all"))
    found = text(staff.get(reverse("admin:orders_review_changelist") + f"?q={second.number}"))
    assert second.number in found
    assert first.number not in found


def test_the_page_says_what_is_known_and_what_follows(held, staff):
    told = text(staff.get(reverse("admin:orders_review_change", args=[Review.objects.get().pk])))
    for said in ("Somebody has to decide", "Approve …", "Reject …", "ELEVATED", "AUTHORIZED", "no address given"):
        assert said in told
    order = text(staff.get(reverse("admin:orders_order_change", args=[held.id])))
    assert "Look at it and decide" in order
    assert "Waits for one of us to look at it" in order


@pytest.mark.parametrize(("name", "ends"), [("approve", "CONFIRMED"), ("reject", "FAILED")])
def test_deciding(shop, held, staff, name, ends):
    page = text(staff.get(deciding(held, name)))
    assert "Your reason" in page
    assert shop.now(held).review_status == "PENDING"  # to look changes nothing

    done = staff.post(deciding(held, name), {"reason": "I have called them."}, follow=True)
    assert "on record" in text(done)
    shop.work()
    assert shop.now(held).status == ends
    order = text(staff.get(reverse("admin:orders_order_change", args=[held.id])))
    assert "I have called them." in order
    again = staff.post(deciding(held, name), {"reason": "Once more."}, follow=True)
    assert "Nothing is left to decide" in text(again)


def test_who_comes_second_is_told_so(held, staff):
    staff.post(deciding(held, "approve"), {"reason": "Fine."})
    second = staff.post(deciding(held, "reject"), {"reason": "Not so."}, follow=True)  # no worker has looked yet
    assert "Nothing was decided by you" in text(second)


def test_no_reason_no_decision(shop, held, staff):
    assert "This field is required." in text(staff.post(deciding(held, "approve"), {"reason": " "}))
    shop.work()
    assert shop.now(held).review_status == "PENDING"


def test_only_who_may_decide_decides(shop, held):
    reader = person("view_review", "view_order")
    page = text(reader.get(reverse("admin:orders_review_change", args=[Review.objects.get().pk])))
    assert held.number in page
    assert "Approve …" not in page
    assert reader.get(deciding(held, "approve")).status_code == 403
    assert reader.post(deciding(held, "approve"), {"reason": "Me."}).status_code == 403
    assert person_without_rights().get(reverse("admin:orders_review_changelist")).status_code == 403
    shop.work()
    assert shop.now(held).review_status == "PENDING"


def person_without_rights():
    user = User.objects.create(username="nobody", is_staff=True)
    browser = Client()
    browser.force_login(user)
    return browser


def test_what_is_none(held, staff):
    assert staff.get(deciding(held, "ponder")).status_code == 404


# --- rules and the deny list ------------------------------------------------------------------------------------------

RULE = {"name": "Big", "kind": "AMOUNT", "leads_to": "REVIEW", "is_active": "on", "amount": "1000", "currency": "eur"}


def test_a_rule_is_added_changed_and_taken_away_on_record(staff):
    staff.post(reverse("admin:orders_fraudrule_add"), RULE)
    rule = FraudRule.objects.get()
    assert (rule.amount_minor, rule.currency) == (100_000, "EUR")
    listed = text(staff.get(reverse("admin:orders_fraudrule_changelist")))
    assert "over 1000.00 EUR" in listed
    form = text(staff.get(reverse("admin:orders_fraudrule_change", args=[rule.pk])))
    assert 'value="1000.00"' in form
    staff.post(reverse("admin:orders_fraudrule_change", args=[rule.pk]), {**RULE, "amount": "1500.50"})
    staff.post(reverse("admin:orders_fraudrule_delete", args=[rule.pk]), {"post": "yes"})
    assert not FraudRule.objects.exists()
    assert [one.action for one in RuleChange.objects.order_by("id")] == ["ADDED", "CHANGED", "REMOVED"]
    changes = text(staff.get(reverse("admin:orders_rulechange_changelist")))
    assert "amount: 1000.00 EUR → 1500.50 EUR" in changes


@pytest.mark.parametrize(
    "change",
    [
        {"amount": ""}, {"currency": ""}, {"amount": "10.001"}, {"amount": "-1"}, {"amount": "0"}, {"currency": "euro"},
        {"most_orders": "3"}, {"kind": "USER"}, {"kind": "COUNTRY"}, {"kind": "X"}, {"name": ""}, {"leads_to": "PASS"},
        {"kind": "USER", "window_minutes": "99999999"},
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(staff, change):
    answer = staff.post(reverse("admin:orders_fraudrule_add"), {**RULE, **change})
    assert answer.status_code == 200
    assert "errorlist" in text(answer) or "Please correct the error" in text(answer)
    assert not FraudRule.objects.exists()
    assert not RuleChange.objects.exists()


def test_a_velocity_rule_reads_as_a_sentence(staff):
    rule = {"name": "Fast", "kind": "USER", "leads_to": "REJECT", "is_active": "on", "most_orders": "3"}
    staff.post(reverse("admin:orders_fraudrule_add"), {**rule, "window_minutes": "120"})
    assert "more than 3 orders within 2 h" in text(staff.get(reverse("admin:orders_fraudrule_changelist")))


def test_the_deny_list_is_kept_normalised(staff):
    entry = {"kind": "EMAIL", "value": "Mal.Lory+x@gmail.com", "leads_to": "REJECT", "is_active": "on", "note": ""}
    staff.post(reverse("admin:orders_denyentry_add"), entry)
    assert DenyEntry.objects.get().value == "mallory@gmail.com"
    again = staff.post(reverse("admin:orders_denyentry_add"), {**entry, "value": "mallory@googlemail.com"})
    assert again.status_code == 200
    assert "already exists" in text(again)
    bad = staff.post(reverse("admin:orders_denyentry_add"), {**entry, "value": "mallory"})
    assert "An e-mail address, such as ann@example.com." in text(bad)
    assert RuleChange.objects.get().actor == "staff"


def test_who_may_only_look_changes_nothing():
    reader = person("view_fraudrule", "view_denyentry", "view_rulechange")
    assert reader.get(reverse("admin:orders_fraudrule_changelist")).status_code == 200
    assert reader.post(reverse("admin:orders_fraudrule_add"), RULE).status_code == 403
    assert not FraudRule.objects.exists()
