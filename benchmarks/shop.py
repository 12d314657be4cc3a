"""The shop that is measured: emptied, stocked, filled with waiting orders, and checked afterwards."""

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from benchmarks.gateway import DECLINED
from inventory.models import Category, LedgerEntry, Product, Stock
from inventory.selectors import stock_discrepancies
from marketplace.kernel import bulk
from marketplace.kernel.ids import new_id
from marketplace.kernel.money import format_minor
from marketplace.outbox.models import Shard
from marketplace.outbox.services import Event, append
from marketplace.sagas import services as sagas
from marketplace.sagas.models import SagaInstance
from orders.models import Order, OrderLine, TimelineEntry
from orders.sagas.place_order import PlaceOrder
from payments.models import Payment

UNITS = 1_000_000  # of each SKU: enough for everybody
PRICE = 1999
TOGETHER = 1000  # orders seeded in one transaction
APPS = ("orders", "inventory", "payments", "sagas", "outbox", "idempotency")


def sku(number: int) -> str:
    return f"bench-{number}"


def empty(*, skus: int) -> None:
    """Leave nothing but `skus` products with plenty of each."""
    models = [model for label in APPS for model in apps.get_app_config(label).get_models() if model is not Shard]
    tables = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in models)
    now = timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
        shelf = Category.objects.create(slug="bench", name="Bench")
        names = [sku(number) for number in range(skus)]
        Product.objects.bulk_create(
            Product(sku=name, name=name, category=shelf, price_minor=PRICE, currency="EUR") for name in names
        )
        bulk.insert(Stock, ("product", "on_hand", "available", "reserved"), [(name, UNITS, UNITS, 0) for name in names])
        bulk.insert(
            LedgerEntry,
            ("sku", "kind", "available_delta", "reserved_delta", "reason", "actor", "created_at"),
            [(name, "RECEIVE", UNITS, 0, "bench", "bench", now) for name in names],
        )


def fill(count: int, *, skus: int, declined: float = 0.0, lines: int = 1) -> int:
    """Write `count` waiting orders of so many lines, the rows of `orders.services.place`; return how many will fail."""
    failing = 0
    for begin in range(0, count, TOGETHER):
        numbers = range(begin, min(begin + TOGETHER, count))
        tokens = [DECLINED if _is_declined(number, declined) else "tok_visa" for number in numbers]
        failing += tokens.count(DECLINED)
        _place(list(zip(numbers, tokens, strict=True)), skus=skus, lines=lines)
    return failing


def settle() -> None:
    """Let PostgreSQL do now what it would do at some other time, perhaps while we measure."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


# What is due first in each queue says it, nearly always; to look for something among all that is over takes longer.
_DUE_FIRST = """
    SELECT EXISTS (SELECT FROM unnest(%(queues)s::text[]) AS q (queue) CROSS JOIN LATERAL (
        SELECT name, current_step FROM sagas_sagainstance
        WHERE queue = q.queue AND due_at IS NOT NULL ORDER BY due_at LIMIT 1) AS first
    WHERE current_step <> 'packed' AND %(only)s IN ('', name))
"""
_DUE_AT_ALL = """
    SELECT EXISTS (SELECT FROM sagas_sagainstance
    WHERE due_at IS NOT NULL AND current_step <> 'packed' AND %(only)s IN ('', name))
"""


def working(*, only: str = "") -> bool:
    """Whether any saga (`only`: of that definition) has something left to do; who waits for the warehouse has not."""
    asked = {"queues": list(settings.SAGA_QUEUES), "only": only}
    with connection.cursor() as cursor:
        for statement in (_DUE_FIRST, _DUE_AT_ALL):
            cursor.execute(statement, asked)
            if cursor.fetchone()[0]:
                return True
    return False


def not_begun() -> int:
    """How many sagas nobody has begun with."""
    return SagaInstance.objects.filter(status="STARTED").count()


def check(*, confirmed: int, failed: int, sold: int | None = None) -> None:
    """Raise AssertionError unless every order is where it belongs, is paid or not, and the stock adds up.

    `sold`: units, if not one for each confirmed order.
    """
    expected = {"CONFIRMED": confirmed} | ({"FAILED": failed} if failed else {})
    assert _counts(Order) == expected, _counts(Order)
    ended = {"COMPLETED": confirmed} | ({"COMPENSATED": failed} if failed else {})
    assert _counts(SagaInstance, name="place_order") == ended, _counts(SagaInstance)
    assert _counts(Payment)["CAPTURED"] == confirmed, _counts(Payment)
    assert not stock_discrepancies(), stock_discrepancies()[:5]
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(%s - on_hand), sum(reserved) FROM inventory_stock", [UNITS])
        assert cursor.fetchone() == (confirmed if sold is None else sold, 0)


def told(order: Order, kind: str) -> Event:
    """Return one of the events with which an order begins."""
    data = {
        "orderId": str(order.id),
        "number": order.number,
        "status": order.status,
        "totalAmount": format_minor(order.total_minor, order.currency),
        "currency": order.currency,
        "userId": order.user_id or None,
    }
    topic = "order-events" if kind.startswith("ORDER") else "saga-events"
    return Event(topic=topic, type=kind, saga_id=order.saga_id, subject_id=order.id, data=data)


def _is_declined(number: int, share: float) -> bool:
    return int((number + 1) * share) > int(number * share)  # evenly spread, and the same in every run


def _counts(model: type, **only: str) -> dict[str, int]:
    return dict(model.objects.filter(**only).values_list("status").annotate(Count("pk")).order_by())


_ORDER = (
    "id", "number", "status", "failure_code", "failure_message", "failure_detail", "review_status", "refund_status",
    "user_id", "email", "shipping_address", "currency", "total_minor", "payment_method", "transaction_id", "saga_id",
    "created_at", "updated_at",
)  # fmt: skip


def _place(wanted: list[tuple[int, str]], *, skus: int, lines: int) -> None:
    now = timezone.now()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('orders_number') FROM generate_series(1, %s)", [len(wanted)])
            numbers = [f"M-{row[0]}" for row in cursor.fetchall()]
        orders = [
            Order(
                id=new_id(), number=number, user_id="user-1", currency="EUR", total_minor=lines * PRICE,
                payment_method=token, saga_id=new_id(), created_at=now, updated_at=now,
            )
            for number, (_, token) in zip(numbers, wanted, strict=True)
        ]  # fmt: skip
        bulk.insert(Order, _ORDER, [[getattr(order, name) for name in _ORDER] for order in orders])
        bulk.insert(
            OrderLine,
            ("order", "position", "sku", "product_name", "quantity", "price_minor"),
            [
                (order.id, 1 + line, sku((number + line) % skus), sku((number + line) % skus), 1, PRICE)
                for order, (number, _) in zip(orders, wanted, strict=True)
                for line in range(lines)
            ],
        )
        bulk.insert(
            TimelineEntry,
            ("order", "from_status", "to_status", "who", "why", "at"),
            [(order.id, "", "CREATED", order.user_id, "Order placed.", now) for order in orders],
        )
        sagas.start(PlaceOrder, [sagas.Start(id=o.saga_id, subject_id=o.id) for o in orders], now=now)
        append([told(o, kind) for o in orders for kind in ("ORDER_CREATED", "SAGA_STARTED")], now=now)
        connection.run_on_commit.clear()  # nobody is called yet: they wait until the clock runs
