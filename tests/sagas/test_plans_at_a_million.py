"""With a million rows in each table an order still moves by look-ups alone. The plans of its every statement are read.

Nobody writes a million rows for that. The planner judges a table by its pages and by how many rows it was last seen to
have in each, so the test has a few hundred orders analysed, and then says that there were a million.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.base import ServerBindingCursor
from django.test import RequestFactory
from standardwebhooks.webhooks import Webhook

from fulfillment.inbox import processing
from fulfillment.inbox.receiving import receive
from fulfillment.selectors import shipments_of
from marketplace.kernel.clock import database_now
from marketplace.operations import health
from marketplace.operations.dashboard import dashboard
from marketplace.operations.metrics import Shop
from orders import services
from orders.models import Order
from payments.inbox import processing as of_the_bank
from payments.models import WebhookEvent
from payments.selectors import payments_of

pytestmark = pytest.mark.django_db

ROWS = 1_000_000
GROWING = (
    "orders_order", "orders_orderline", "orders_timelineentry", "sagas_sagainstance", "sagas_sagahistory",
    "sagas_sagasignal", "inventory_stock", "inventory_reservation", "inventory_ledger", "inventory_product",
    "payments_payment", "payments_attempt", "payments_refund", "outbox_event", "orders_invoice", "orders_creditnote",
    "fulfillment_shipment", "fulfillment_shipmentline", "fulfillment_carriercall", "fulfillment_scan",
    "fulfillment_carrierevent",
)  # fmt: skip
LOOKED_UP = {  # which must be among what is seen, or the test would have looked at the wrong thing
    "sagas_claim", "sagas_sagainstance_pkey", "orders_order_pkey", "payments_payment_pkey", "payments_attempt_pkey",
    "inventory_stock_pkey",
}  # fmt: skip
ONLY_WHAT_IS_DUE = {"scans_untold", "sagas_parked"}  # indexes that hold nothing else may be read from the beginning
LOOKED_AT = (*GROWING, "outbox_unpublished", "orders_message", "orders_review")
A_DEEPER_LOOK = 10  # may be added to a cost: the levels of an index grow with the logarithm of its rows
ADDRESS = {"name": "Ada Lovelace", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}


def run(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)


def let_there_be_a_million(rows: int = ROWS, tables: Sequence[str] = GROWING) -> None:
    """Have the planner believe it, of the tables and of their indexes. What is done to the catalog is rolled back."""
    for table in tables:
        run(f"ANALYZE {table}")
        run(
            "UPDATE pg_class SET reltuples = %s, relpages = greatest(1, pg_relation_size(oid) / 8192)"
            " WHERE oid = %s::regclass OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = %s::regclass)",
            rows, table, table,
        )  # fmt: skip


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@contextmanager
def plans() -> Iterator[list[tuple[dict[str, Any], str]]]:
    """Collect the nodes of the plans of all that is executed, each with its statement."""
    seen: list[tuple[dict[str, Any], str]] = []

    def explain(execute: Any, statement: str, parameters: Any, many: bool, context: Any) -> Any:
        if statement.split(maxsplit=1)[0] in {"SELECT", "WITH", "UPDATE", "INSERT", "DELETE"}:
            raw = connection.connection
            bound = isinstance(context["cursor"].cursor, ServerBindingCursor)
            with ServerBindingCursor(raw) if bound else raw.cursor() as cursor:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
                answer = cursor.fetchone()[0]
            [told] = json.loads(answer) if isinstance(answer, str) else answer
            seen.extend((node, statement) for node in nodes(told["Plan"]))
        return execute(statement, parameters, many, context)

    with connection.execute_wrapper(explain):
        yield seen


def read_whole(seen: list[tuple[dict[str, Any], str]]) -> dict[str, str]:
    """Which of the growing tables, or of their indexes, are read from end to end, and by which statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid::regclass::text = ANY(%s)", [list(GROWING)]
        )
        indexes = {name for (name,) in cursor.fetchall()} - ONLY_WHAT_IS_DUE
    found = {}
    for node, statement in seen:
        name = node.get("Index Name") or node.get("Relation Name")
        if (name in GROWING and node["Node Type"] == "Seq Scan") or (name in indexes and "Index Cond" not in node):
            found[node.get("Relation Name", name)] = statement
    return found


def test_every_statement_that_moves_an_order_looks_its_rows_up(shop: Any) -> None:
    shop.stocked("laptop", 1000)
    for _ in range(100):
        shop.order("laptop")
    shop.work(seconds=60)
    let_there_be_a_million()
    for token in ("tok_visa", "tok_declined", "tok_fraud"):
        for _ in range(20):
            shop.order("laptop", token=token)
    with plans() as seen:
        shop.work(seconds=60)

    assert not read_whole(seen)
    assert {node.get("Index Name") for node, _ in seen} >= LOOKED_UP


def test_every_statement_that_ships_a_parcel_looks_its_rows_up(shop: Any, sandbox_carrier: Any) -> None:
    shop.stocked("laptop", 1000)
    ids = [shop.order("laptop", address=ADDRESS).id for _ in range(100)]
    shop.work(seconds=60)
    services.packed(ids[:50], who="wanda", now=database_now())
    shop.work(seconds=60)
    told(sandbox_carrier, ids[:40], "PICKED_UP")
    processing.process_due()
    shop.work(seconds=60)
    let_there_be_a_million()
    with plans() as seen:
        services.packed(ids[50:70], who="wanda", now=database_now())
        shop.work(seconds=60)
        told(sandbox_carrier, ids[40:60], "PICKED_UP")
        told(sandbox_carrier, ids[30:50], "DELIVERED")
        processing.process_due()
        shop.work(seconds=60)

    assert Order.objects.filter(pk__in=ids, status="DELIVERED").count() == 20
    assert not read_whole(seen)


def test_a_bank_s_webhook_looks_its_payment_up(shop: Any) -> None:
    shop.stocked("laptop", 1000)
    ids = [shop.order("laptop").id for _ in range(100)]
    shop.work(seconds=60)
    let_there_be_a_million()
    views = payments_of(ids[:50]).values()
    names = {"gateway": "sandbox", "authorization_key": ""}
    with plans() as seen:
        found = of_the_bank._by_payment([WebhookEvent(**names, reference=view.gateway_reference) for view in views])

    assert set(found) == {view.id for view in views}
    assert not read_whole(seen)


def costs(look: Callable[[], Any]) -> dict[str, float]:
    """What the planner thinks that each statement of `look` costs."""
    with plans() as seen:
        look()
    whole = [(statement, node["Total Cost"]) for node, statement in seen if "Parent Relationship" not in node]
    return {f"{at}: {statement}": cost for at, (statement, cost) in enumerate(whole)}


@pytest.mark.parametrize(
    "look",
    [
        lambda: dashboard(RequestFactory().get("/admin/"), {}),
        lambda: list(Shop().collect()),
        health.look,
        lambda: services.expire_reservations(now=database_now()),
    ],
    ids=["dashboard", "metrics", "health", "expired holds"],
)
def test_what_looks_at_the_whole_shop_reads_no_more_of_more_rows(shop: Any, look: Any) -> None:
    shop.stocked("laptop", 1000)
    for token in ("tok_visa", "tok_visa", "tok_declined", "tok_review", ""):
        for _ in range(40):
            shop.order("laptop", token=token, address=ADDRESS)
    shop.work(seconds=60)
    look()  # what a process asks for once, it has asked for then
    let_there_be_a_million(10_000 * ROWS, LOOKED_AT)  # so many that each LIMIT is reached, however few are thought due
    before = costs(look)
    let_there_be_a_million(1_000_000 * ROWS, LOOKED_AT)
    after = costs(look)

    assert len(before) == len(after) > 0
    assert not {
        statement: (before[statement], cost)
        for statement, cost in after.items()
        if cost > 2 * before[statement] + A_DEEPER_LOOK
    }


def told(carrier: Any, order_ids: list[Any], kind: str) -> None:
    """The carrier's webhooks come, one for each of these orders, as genuine as any."""
    for view in shipments_of(order_ids).values():
        at = datetime.now(UTC)
        scan = {"id": kind, "kind": kind, "at": at.isoformat(), "place": "", "message": ""}
        data = {"key": view.label_key, "reference": view.carrier_reference, "tracking_number": view.tracking_number}
        event_id = f"{view.id}:{kind}"
        said = {
            "id": event_id,
            "type": "parcel.scanned",
            "created_at": at.isoformat(),
            "data": {**data, "scans": [scan]},
        }
        body = json.dumps(said)
        headers = {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(carrier.webhook_secret).sign(event_id, at, body),
        }
        receive("sandbox", body=body.encode(), headers=headers)


def test_a_look_up_without_an_index_would_be_noticed(shop: Any) -> None:
    run("ALTER TABLE inventory_reservation DROP CONSTRAINT inventory_reservation_one_per_owner_and_sku")
    shop.stocked("laptop", 1000)
    shop.bought("laptop")
    let_there_be_a_million()
    shop.order("laptop")
    with plans() as seen:
        shop.work()
    assert set(read_whole(seen)) == {"inventory_reservation"}
