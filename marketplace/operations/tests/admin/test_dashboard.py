"""The first page: numbers that explain themselves, in a handful of queries."""

import re
from datetime import timedelta
from html import unescape

from django.contrib.auth.models import Permission
from django.utils.html import strip_tags

from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from marketplace.operations.tests.auditor.breaking import sql
from marketplace.sagas.models import SagaInstance


def words(client) -> str:
    response = client.get("/admin/")
    assert response.status_code == 200
    main = response.content.decode().partition('id="content"')[2]
    return re.sub(r"\s+", " ", unescape(strip_tags(main.replace("<", " <"))))


def test_an_empty_shop(staff, transactional_db):
    text = words(staff)
    assert "Nothing: every saga is over, or on its way in good time." in text
    assert "Orders, 24 h 0 " in text
    assert "Compensation rate, 24 h \N{EN DASH} " in text
    assert "Oldest unpublished event, now none" in text
    assert "No saga has begun within 24 h." in text


def test_a_busy_one(shop, staff):
    for token in ("tok_visa", "tok_visa", "tok_flaky", "tok_declined", ""):
        shop.bought("laptop-1", token=token)
    text = words(staff)
    assert "Orders, 24 h 5 placed in this hour and the 23 before; 5 in this one" in text
    assert "Went through, 24 h 75.0 % COMPLETED, of 4 ended sagas" in text
    assert (
        "Compensation rate, 24 h 25.0 % COMPENSATED, of 4 ended; cancelled orders count too; alarm above 10 %" in text
    )
    assert "Waiting for a worker, now 0 of 4 unfinished sagas are due and not taken" in text
    assert "Units held, now 1 for orders under way; 0 of 1 SKUs for sale have none available" in text
    assert "COMPLETED 3 COMPENSATED 1 FAILED 0" in text
    assert re.search(r"authorize payment 6 1 33\.3 % \d+ ms \d+ ms", text)
    assert re.search(r"undo reserve inventory 1 \N{EN DASH} \N{EN DASH} \d+ ms", text)
    assert "5 orders (3 confirmed, 1 open, 0 cancelled, 1 failed)" in text


def test_what_needs_a_person_comes_first_with_a_way_there(shop, staff):
    parked, late = shop.order("laptop-1"), shop.order("laptop-1")
    past = database_now() - timedelta(minutes=7)
    SagaInstance.objects.filter(pk=parked.saga_id).update(
        status="NEEDS_ATTENTION", attention="The bank is gone.", due_at=None
    )
    SagaInstance.objects.filter(pk=late.saga_id).update(started_at=past, due_at=past)
    html = staff.get("/admin/").content.decode()
    assert html.index("Needs a person") < html.index("Orders, 24 h")
    for order in (parked, late):
        assert f'href="/admin/orders/order/{order.id}/change/">{order.number}</a>' in html
    text = words(staff)
    assert text.index("The bank is gone.") < text.index("Next: validate inventory, due for 7 min.")
    assert "Waiting for a worker, now 1 of 2 unfinished sagas are due and not taken; the longest for 7 min" in text


def test_alarms_are_seen(shop, staff):
    shop.bought("laptop-1", token="tok_declined")
    sql("UPDATE outbox_event SET occurred_at = now() - interval '5 minutes'")
    html = staff.get("/admin/").content.decode()
    assert re.search(r"ops-warning-text[^>]*>100\.0 %", html)
    assert re.search(r"ops-danger-text[^>]*>5 min", html)
    assert "is the relay running?" in html


def test_a_handful_of_queries_however_busy(shop, staff, django_assert_num_queries):
    for token in ("tok_visa", "tok_declined", "") * 3:
        shop.bought("laptop-1", token=token)
    for order in (shop.order("laptop-1") for _ in range(1)):
        SagaInstance.objects.filter(pk=order.saga_id).update(status="NEEDS_ATTENTION", due_at=None)
    with django_assert_num_queries(28):  # session, user, the clock, and the measures
        staff.get("/admin/")


def test_nothing_is_loaded_from_elsewhere(staff, transactional_db):
    html = staff.get("/admin/").content.decode()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)


def test_the_menu_holds_what_one_may_see(clerk):
    html = clerk.get("/admin/").content.decode()
    assert "/admin/orders/order/" in html  # the dashboard leads there; the page itself says no
    assert "receipt_long" not in html
    user = User.objects.get(username="clerk")
    user.user_permissions.set(Permission.objects.filter(codename="view_order"))
    html = clerk.get("/admin/").content.decode()
    assert "receipt_long" in html
    assert "account_tree" not in html
