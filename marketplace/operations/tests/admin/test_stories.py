"""The pages that tell all about one thing, as somebody reads them who was woken up for it."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils.html import strip_tags

from fulfillment.models import DeliveryRate
from marketplace.kernel.clock import database_now
from marketplace.operations.unfinished import needs_attention
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import attention
from marketplace.sagas.models import SagaInstance
from orders import services
from orders.cases import open_case
from payments.models import Payment


def read(client, name, *arguments) -> str:
    """The words of a page, one after the other."""
    response = client.get(reverse(f"admin:{name}", args=arguments))
    assert response.status_code == 200
    return words(response)


def words(response) -> str:
    main = response.content.decode().partition('id="content"')[2]
    return re.sub(r"\s+", " ", unescape(strip_tags(main.replace("<", " <"))))


def order_page(client, order) -> str:
    return read(client, "orders_order_change", order.id)


def in_order(text: str, *parts: str) -> None:
    """Each part is there, after the one before."""
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} is not in {text[at:]!r}"
        at = found + len(part)


def test_a_confirmed_order(shop, staff):
    order = shop.bought("laptop-1", 2)
    text = order_page(staff, order)
    in_order(
        text,
        "CONFIRMED",
        order.number,
        "by user-1",
        "2598.00 EUR",
        "Went through, in",
        "Money 2598.00 EUR taken.",
        "Units 2 units sold.",
        "events not published yet.",
        "What the saga did COMPLETED",
        "validate inventory DONE 1",
        "reserve inventory DONE 1",
        "2 units held.",
        "authorize payment DONE 1",
        "check fraud DONE 1",
        "capture payment DONE 1",
        "confirm order DONE 1",
        "Timeline of the order",
        "CREATED user-1 Order placed.",
        "RESERVED saga",
        "CONFIRMED saga Payment captured, units sold.",
        "The laptop-1 laptop-1 2 1299.00 EUR 2598.00 EUR",
        "laptop-1 2 COMMITTED",
        "Payment CAPTURED",
        "AUTHORIZE DONE 1",
        "CAPTURE DONE 1",
        "1 ORDER_CREATED",
        "ORDER_CONFIRMED",
        "SAGA_COMPLETED",
    )
    assert Payment.objects.get().gateway_reference in text


def test_a_declined_order(shop, staff):
    order = shop.bought("laptop-1", token="tok_declined")
    text = order_page(staff, order)
    in_order(
        text,
        "FAILED payment_declined",
        "Did not come about; 1 step undone",
        "payment_declined:",
        "Refused: nothing was taken. card_declined",
        "1 unit back on the shelf.",
        "The buyer reads",
        "No money was taken.",
        "authorize payment REFUSED 1",
        "undo reserve inventory DONE 1",
        "1 unit put back.",
    )
    assert "Went through" not in text


def test_an_order_that_waits_for_its_buyer(shop, staff):
    order = shop.bought("laptop-1", token="")
    in_order(
        order_page(staff, order),
        "RESERVED",
        "Waiting for payment request, until",
        "If nothing comes in 15 min, what was done is undone.",
        "No money was asked for.",
        "1 unit held for another 15 min.",
        "payment request WAITING 1 since then",
    )


def test_an_order_that_no_worker_has_taken(shop, staff):
    order = shop.order("laptop-1")
    SagaInstance.objects.update(due_at=database_now() - timedelta(minutes=3))
    in_order(
        order_page(staff, order),
        "Next: validate inventory, due for 3 min.",
        "No worker has taken it. Is one running for queue “inventory”, and is beat?",
        "Nothing yet: no worker has taken it.",
    )


def test_an_order_between_two_attempts(shop, staff, settings):
    settings.SAGA_RETRY_DELAY_SECONDS = 4000
    order = shop.bought("laptop-1", token="tok_flaky")
    text = order_page(staff, order)
    assert re.search(r"Will try authorize payment again in \d+ (s|min|h) \(attempt 2\)\.", text)
    in_order(text, "Last: ", "the gateway's last answer is not known.", "AUTHORIZE UNKNOWN 1", "processor_unavailable")


def test_a_parked_order_says_what_was_found(shop, staff):
    order = shop.order("laptop-1")
    shop.work(queues=("inventory",))
    SagaInstance.objects.filter(pk=order.saga_id).update(
        status="NEEDS_ATTENTION", attention="The units are gone.", due_at=None
    )
    in_order(order_page(staff, order), "Parked at", "a person has to decide.", "The units are gone.", "NEEDS_ATTENTION")


def broken(orders, *, now):
    """A checker of a shop's own, with a bug."""
    raise KeyError("risk_score")


def test_a_traceback_is_there_for_who_opens_it(shop, staff, settings):
    settings.FRAUD_CHECKERS = [f"{__name__}.broken"]
    order = shop.bought("laptop-1")
    response = staff.get(reverse("admin:orders_order_change", args=[order.id]))
    html = response.content.decode()
    assert "KeyError: &#x27;risk_score&#x27;" in html
    assert "Traceback (most recent call last)" in html
    assert html.index("<summary>traceback</summary>") < html.index("Traceback (most recent call last)")
    assert "<details open" not in html


def test_a_cancel_is_on_record_with_who_and_why(shop, staff):
    order = shop.bought("laptop-1", token="")
    services.cancel(order.id, actor="user-1", now=database_now(), reason="Changed my mind.")
    shop.work()
    text = order_page(staff, order)
    in_order(text, "CANCELLED cancelled_by_buyer", "CANCELLED user-1", "Signals", "cancel", "STOPPED")


def test_an_order_that_lost_its_saga(shop, staff):
    order = shop.order("laptop-1")
    SagaInstance.objects.all().delete()
    in_order(order_page(staff, order), "Nothing is going to move this order: it has no saga.", "Run manage.py audit")


def test_what_a_buyer_typed_is_shown_and_not_run(shop, staff):
    order = shop.order("laptop-1", user="<script>alert(1)</script>")
    html = staff.get(reverse("admin:orders_order_change", args=[order.id])).content.decode()
    assert "<script>alert(1)</script>" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_the_saga_page(shop, staff):
    order = shop.bought("laptop-1", token="tok_declined")
    text = read(staff, "sagas_sagainstance_change", order.saga_id)
    in_order(
        text,
        "COMPENSATED",
        "place_order version 3",
        f"order {order.number}",
        "payment_declined:",
        "Steps",
        "validate inventory reserve inventory payment request",
        "authorize payment REFUSED",
        "undo reserve inventory DONE",
        str(order.saga_id),
        str(order.id),
        "Why it is being undone, or was:",
        "payment_declined",
    )


def test_the_payment_page(shop, staff):
    order = shop.bought("laptop-1", token="tok_flaky")
    payment = Payment.objects.get()
    in_order(
        read(staff, "payments_payment_change", payment.id),
        "CAPTURED",
        f"order {order.number}",
        "1299.00 EUR taken.",
        "AUTHORIZE UNKNOWN 1",
        "AUTHORIZE UNKNOWN 2",
        "AUTHORIZE DONE 3",
        "CAPTURE DONE 1",
        payment.authorization_key,
    )


def test_the_event_page(shop, staff):
    order = shop.bought("laptop-1")
    event = OutboxEvent.objects.get(type="ORDER_CONFIRMED")
    in_order(
        read(staff, "outbox_outboxevent_change", event.pk), "ORDER_CONFIRMED", "not yet", "order-events", str(order.id)
    )


def test_the_stock_page_says_who_holds_units_now(shop, staff):
    held, sold = shop.bought("laptop-1", 3, token=""), shop.bought("laptop-1")
    text = read(staff, "inventory_stock_change", "laptop-1")
    in_order(text, "Available 6", "Held 3", "On hand 9", "Who holds units now", held.number, "RESERVED 3", "Ledger")
    in_order(text, "Ledger", "sold 0 -1", sold.number, "reserved -1 +1", "reserved -3 +3", held.number)
    in_order(text, "received +10 0", "test: delivery")


@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("orders_order_change", 27),
        ("sagas_sagainstance_change", 9),
        ("payments_payment_change", 7),
        ("inventory_stock_change", 5),
    ],
)
def test_a_longer_story_asks_no_more(shop, staff, django_assert_num_queries, name, queries):
    shop.stocked("mouse-1", 5)
    order = shop.order_lines([("laptop-1", 1), ("mouse-1", 2)], token="tok_flaky")
    shop.work()
    shop.bought("laptop-1", token="")
    key = {
        "orders_order_change": order.id,
        "sagas_sagainstance_change": order.saga_id,
        "payments_payment_change": Payment.objects.get(reference_id=order.id).pk,
        "inventory_stock_change": "laptop-1",
    }[name]
    with django_assert_num_queries(queries):
        assert staff.get(reverse(f"admin:{name}", args=[key])).status_code == 200


def test_a_case_is_told_of_on_the_orders_page_until_it_is_settled(shop, staff):
    order = shop.bought("laptop-1")
    with transaction.atomic():
        open_case(order.id, "The bank took 1299.00 EUR back.", who="bank", now=database_now())
    shop.work()
    text = read(staff, "orders_order_change", order.id)
    in_order(text, order.number, "A case about this order needs a person", "The bank took 1299.00 EUR back.", "Decide")
    saga = SagaInstance.objects.get(name="payment_case")
    in_order(read(staff, "sagas_sagainstance_change", saga.id), order.number, "The bank took 1299.00 EUR back.")
    found = staff.get(reverse("admin:sagas_sagainstance_changelist"), {"q": order.number}).content.decode()
    assert "payment_case" in found

    attention.resolve(saga.id, actor="ada", reason="Written off.", now=database_now())
    shop.work()
    assert "A case about this order" not in read(staff, "orders_order_change", order.id)


def test_a_parcel_that_is_stuck_is_told_of_on_the_orders_page(shop, staff):
    order = shop.bought("laptop-1")
    saga = SagaInstance.objects.filter(subject_id=order.id, name="fulfill_order")
    text = read(staff, "orders_order_change", order.id)
    in_order(text, order.number, "Paid; waits to be packed.", "Expected on", "The parcel", "Purchase Went through, in")
    assert "It needs a person" not in text
    saga.update(status="NEEDS_ATTENTION", due_at=None, wait_until=None, attention="The carrier refuses the label.")

    text = read(staff, "orders_order_change", order.id)

    in_order(text, "The parcel needs a person, at packed.", "The carrier refuses the label.", "Decide about it")
    in_order(text, "Parcel CREATED", "It needs a person. The carrier refuses the label.", "not yet", "no label yet")
    in_order(text, "The saga that ships it", "NEEDS_ATTENTION", f"at {saga.get().current_step}")


def test_a_parcel_that_stands_by_leads_to_what_it_waits_for(shop, staff):
    order = shop.bought("laptop-1")
    SagaInstance.objects.filter(subject_id=order.id, name="fulfill_order").update(
        standby="circuit:carrier-sandbox", standby_since=database_now(), current_step="buy_label", wait_until=None
    )

    in_order(
        read(staff, "orders_order_change", order.id), "The parcel stands by before buy label", "nobody answers there"
    )
    hero = html_of(staff, order).partition('aria-label="Where it is, and why"')[2].partition("</section>")[0]
    assert reverse("admin:sagas_sagainstance_standby") in hero


def test_an_order_whose_parcel_can_not_even_be_planned_says_why(shop, staff):
    """No rate covers where it goes, so there is no parcel yet, and still that is what the page begins with."""
    address = {"name": "Ada", "line1": "1 Road", "postal_code": "1010", "city": "Wellington", "country": "NZ"}
    DeliveryRate.objects.create(
        carrier="sandbox", service="Parcel", countries=["DE"], up_to_grams=10, days_min=1, days_max=2
    )
    order = shop.order("laptop-1", address=address)
    shop.work()

    text = read(staff, "orders_order_change", order.id)

    in_order(
        text, "CONFIRMED", order.number, "The parcel needs a person, at estimate delivery.", "No delivery rate covers"
    )
    saga = SagaInstance.objects.get(subject_id=order.id, name="fulfill_order")
    assert reverse("admin:sagas_sagainstance_change", args=[saga.pk]) in html_of(staff, order)


def test_an_order_that_nobody_ships_says_so(shop, staff):
    order = shop.order("laptop-1")
    shop.work(queues=("orders", "inventory", "payments"))
    SagaInstance.objects.filter(subject_id=order.id, name="fulfill_order").delete()

    in_order(
        read(staff, "orders_order_change", order.id),
        "Nobody ships this order: it has no saga that does.",
        "Run manage.py start_missing_shipments.",
        "Purchase Went through",
    )


def html_of(client, order) -> str:
    return client.get(reverse("admin:orders_order_change", args=[order.id])).content.decode()


def test_a_reversal_that_is_stuck_is_what_the_orders_page_and_the_dashboard_tell(shop, staff):
    order = shop.bought("laptop-1")
    services.cancel(order.id, actor="user-1", now=database_now())
    reversal = SagaInstance.objects.get(subject_id=order.id, name="reverse_order")
    SagaInstance.objects.filter(pk=reversal.pk).update(status="NEEDS_ATTENTION", due_at=None, attention="No answer.")

    text = read(staff, "orders_order_change", order.id)

    assert "a person has to decide" in text
    assert "No answer." in text
    in_order(text, str(order.saga_id), "Reversal", str(reversal.id))
    [stuck] = needs_attention(limit=5, now=database_now())
    assert (stuck.saga_id, stuck.order_id, stuck.order_number) == (reversal.id, order.id, order.number)
