"""What sagas write, nobody's hands can change: every door is tried by a superuser, and nothing is different after."""

import pytest
from django.contrib import admin
from django.db import connection
from django.urls import NoReverseMatch, reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from inventory.models import LedgerEntry, Product, Reservation, Stock
from marketplace.accounts.models import User
from marketplace.idempotency.models import IdempotencyRecord
from marketplace.kernel.clock import database_now
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas.models import SagaInstance
from orders import services
from orders.models import CreditNote, Invoice, Order
from payments.models import Payment, Refund

READ_ONLY = [
    Order,
    SagaInstance,
    Payment,
    Refund,
    Stock,
    LedgerEntry,
    Reservation,
    OutboxEvent,
    IdempotencyRecord,
    PeriodicTask,
    Invoice,
    CreditNote,
]
WITH_PAGES = [model for model in READ_ONLY if model is not IdempotencyRecord]
# Beside these, only what people keep is registered.
KEPT_BY_PEOPLE = {"inventory.Product", "inventory.Category", "accounts.User", "auth.Group"}
# These can be sent again, or looked at (`test_messages`).
MAILS = {"orders.Message", "mail.CollectedMail"}
# And these, which can be looked into again (`test_webhooks`).
REPLAYABLE = {"payments.WebhookEvent", "payments.Observation"}
# And this, which can be dealt with, with a reason (`test_cases`).
SETTLED = {"payments.ReconciliationCase"}
# And this: rules that staff keeps, on record, and reviews, which are decided with a reason (`test_fraud`).
FRAUD = {"orders.FraudRule", "orders.DenyEntry", "orders.RuleChange", "orders.Review"}
# And this: returns are approved, rejected and received with a reason (`test_returns`).
RETURNS = {"orders.Return"}
# And these: parcels are packed, and their labels printed (`test_warehouse`); how long they take is kept by people.
PARCELS = {f"fulfillment.{name}" for name in ("Shipment", "Batch", "CarrierEvent", "DeliveryRate", "Scan")}


def address(model, action, *arguments):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{action}", args=arguments)


@pytest.fixture
def world(shop):
    """One of everything."""
    sold = shop.bought("laptop-1")
    services.refund(sold.id, amount_minor=1, reason="Late.", actor="ada", key="click", now=database_now())
    shop.work()
    shop.order("laptop-1")
    every = IntervalSchedule.objects.create(every=1, period="seconds")
    PeriodicTask.objects.create(name="sweep", task="marketplace.sagas.tasks.sweep", interval=every)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO idempotency_record"
            " VALUES ('\\x01', 'user', 'POST', '/api/orders', 'f', 201, '{}', '{}', now(), now())"
        )


def rows(model):
    fields = [field.name for field in model._meta.concrete_fields]
    return [{**row} for row in model.objects.order_by("pk").values(*fields)]


def test_nothing_else_is_registered():
    registered = {model._meta.label for model in admin.site._registry}
    others = KEPT_BY_PEOPLE | MAILS | REPLAYABLE | SETTLED | FRAUD | RETURNS | PARCELS
    assert registered == {model._meta.label for model in READ_ONLY} | others


def test_no_post_gets_through(world, staff):
    for model in READ_ONLY:
        before = rows(model)
        assert before
        key = model.objects.first().pk
        for path in (address(model, "add"), address(model, "change", key), address(model, "delete", key)):
            assert staff.post(path, {"status": "CONFIRMED", "post": "yes"}).status_code in {403, 404}, path
        selected = {"action": "delete_selected", "_selected_action": [str(key)], "post": "yes"}
        staff.post(address(model, "changelist"), selected)
        assert rows(model) == before


def test_there_are_no_buttons_for_it_either(world, staff):
    for model in READ_ONLY:
        listing = staff.get(address(model, "changelist"))
        assert listing.status_code == 200
        assert address(model, "add") not in listing.content.decode()
        buttons = model is SagaInstance  # for a person's decisions, which go through the engine: see test_decisions
        assert ('name="action"' in listing.content.decode()) is buttons
    for model in WITH_PAGES:
        page = staff.get(address(model, "change", model.objects.first().pk))
        assert page.status_code == 200
        assert 'name="_save"' not in page.content.decode()
        assert "/delete/" not in page.content.decode()


def test_answered_requests_have_no_page(staff):
    assert staff.get(address(IdempotencyRecord, "change", "x")).status_code == 404


def test_without_the_permission_to_view(world, clerk):
    for model in READ_ONLY:
        assert clerk.get(address(model, "changelist")).status_code == 403
    for model in WITH_PAGES:
        assert clerk.get(address(model, "change", model.objects.first().pk)).status_code == 403


@pytest.mark.parametrize("model", [Order, SagaInstance, Payment, Stock, OutboxEvent])
@pytest.mark.parametrize("key", ["01000000-0000-7000-8000-000000000000", "nonsense", "0"])
def test_a_page_of_nothing(staff, model, key):
    """An id that leads nowhere, or is none, goes back to the start with a message, as everywhere in the admin."""
    response = staff.get(address(model, "change", key), follow=True)
    assert response.redirect_chain
    assert "doesn’t exist" in response.content.decode()


def test_strangers_are_asked_to_sign_in(client, db):
    for model in READ_ONLY:
        response = client.get(address(model, "changelist"))
        assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/admin/login/")


def test_products_and_users_can_not_be_deleted(shelf, staff):
    person = User.objects.create_user("somebody")
    for thing in (Product.objects.get(), person):
        assert staff.post(address(type(thing), "delete", thing.pk), {"post": "yes"}).status_code == 403
        assert type(thing).objects.filter(pk=thing.pk).exists()


def test_tokens_are_not_shown_anywhere():
    with pytest.raises(NoReverseMatch):
        reverse("admin:authtoken_tokenproxy_changelist")
