"""The measures, counted by hand."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from marketplace.kernel import counting
from marketplace.kernel.clock import database_now
from marketplace.operations import selectors, unfinished
from marketplace.operations.selectors import DAY, HOUR
from marketplace.sagas import standby
from marketplace.sagas.models import SagaInstance
from orders import services
from orders.models import Order


def move(order, **columns):
    """Set columns of an order's saga."""
    assert SagaInstance.objects.filter(pk=order.saga_id).update(**columns) == 1


@pytest.fixture
def mixed(shop):
    """Two confirmed, one declined, one fraud, one out of stock, one waiting for its buyer."""
    tokens = ("tok_visa", "tok_flaky", "tok_declined", "tok_fraud", "")
    orders = {token: shop.bought("laptop-1", token=token) for token in tokens}
    orders["too many"] = shop.bought("laptop-1", 99)
    return orders


def test_recent_sagas_and_their_rates(mixed):
    recent = selectors.recent_sagas(window=HOUR)
    assert recent.by_status == {"COMPLETED": 2, "COMPENSATED": 2, "FAILED": 1, "IN_PROGRESS": 1}
    assert (recent.total, recent.ended) == (6, 5)
    assert recent.completion_rate == pytest.approx(2 / 5)
    assert recent.compensation_rate == pytest.approx(2 / 5)
    assert 0 < recent.median_seconds <= recent.p95_seconds < 120  # as long as the test may take
    assert 0 < recent.mean_seconds < 120


def test_durations_are_from_start_to_end(mixed):
    for order, seconds in zip(mixed.values(), (1, 2, 3, 4, None, 10), strict=True):
        if seconds:
            saga = SagaInstance.objects.get(pk=order.saga_id)
            move(order, completed_at=saga.started_at + timedelta(seconds=seconds))
    recent = selectors.recent_sagas(window=HOUR)
    assert recent.mean_seconds == pytest.approx(4.0)
    assert recent.median_seconds == pytest.approx(3.0)
    assert recent.p95_seconds == pytest.approx(8.8)  # between the 4 and the 10
    assert recent.mean_milliseconds == pytest.approx(4000)


def test_a_shipment_that_is_stopped_after_hours_is_no_measure_of_buying(shop):
    order = shop.bought("laptop-1")
    SagaInstance.objects.filter(subject_id=order.id).update(started_at=database_now() - timedelta(hours=10))
    SagaInstance.objects.filter(pk=order.saga_id).update(completed_at=F("started_at") + timedelta(seconds=1))
    services.cancel(order.id, actor="user-1", now=database_now())
    shop.work()
    assert shop.now(order).status == "CANCELLED"
    recent = selectors.recent_sagas(window=DAY)
    assert recent.by_status == {"COMPLETED": 2}  # the purchase, and the way back
    assert recent.mean_seconds < 120


def test_only_the_window_counts(mixed):
    move(mixed["tok_visa"], started_at=database_now() - timedelta(hours=2))
    assert selectors.recent_sagas(window=HOUR).by_status["COMPLETED"] == 1
    assert selectors.recent_sagas(window=DAY).by_status["COMPLETED"] == 2


def test_only_the_newest_are_looked_at(mixed, monkeypatch):
    monkeypatch.setattr(selectors, "MOST_SAGAS", 2)
    assert selectors.recent_sagas(window=HOUR).total == 2
    assert sum(one.attempts for one in selectors.step_measures(window=HOUR) if one.step == "validate_inventory") == 2


def test_no_sagas_no_rates(transactional_db):
    recent = selectors.recent_sagas(window=HOUR)
    assert (recent.total, recent.completion_rate, recent.compensation_rate) == (0, None, None)
    assert (recent.mean_seconds, recent.median_seconds, recent.p95_seconds) == (None, None, None)
    assert recent.p95_milliseconds is None
    assert selectors.step_measures(window=HOUR) == []
    assert unfinished.live_sagas() == unfinished.LiveSagas({}, 0, 0, 0.0)
    assert unfinished.needs_attention(limit=10, now=database_now()) == []


def test_steps_by_how_their_attempts_ended(mixed):
    steps = {(one.step, one.direction): one for one in selectors.step_measures(window=HOUR)}
    found = {key: (one.attempts, one.done, one.refused, one.failed) for key, one in steps.items()}
    assert found == {
        ("validate_inventory", "forward"): (6, 5, 1, 0),
        ("reserve_inventory", "forward"): (5, 5, 0, 0),
        ("authorize_payment", "forward"): (6, 3, 1, 2),
        ("check_fraud", "forward"): (3, 2, 1, 0),
        ("capture_payment", "forward"): (2, 2, 0, 0),
        ("confirm_order", "forward"): (2, 2, 0, 0),
        ("estimate_delivery", "forward"): (2, 2, 0, 0),
        ("create_shipment", "forward"): (2, 2, 0, 0),
        ("reserve_inventory", "compensating"): (2, 2, 0, 0),
        ("authorize_payment", "compensating"): (1, 1, 0, 0),
    }
    assert steps["authorize_payment", "forward"].failure_rate == pytest.approx(2 / 6)
    assert list(found)[:3] == [
        ("validate_inventory", "forward"),
        ("reserve_inventory", "forward"),
        ("authorize_payment", "forward"),
    ]


def test_live_sagas_what_is_due_and_for_how_long(shop):
    waiting, fresh, old = shop.bought("laptop-1", token=""), shop.order("laptop-1"), shop.order("laptop-1")
    move(old, due_at=database_now() - timedelta(seconds=90))
    live = unfinished.live_sagas()
    assert live.by_status == {"IN_PROGRESS": 1, "STARTED": 2}
    assert (live.total, live.due, live.stuck) == (3, 2, 0)
    assert 90 <= live.oldest_due_seconds < 90 + 120
    shop.work()
    live = unfinished.live_sagas()
    assert (live.by_status, live.due, live.oldest_due_seconds) == ({"IN_PROGRESS": 3}, 0, 0.0)
    assert shop.now(fresh).status == shop.now(old).status == "CONFIRMED"
    assert shop.now(waiting).status == "RESERVED"


def stuck() -> list[str]:
    return [case.order_number for case in unfinished.needs_attention(limit=10, now=database_now())]


def test_a_parked_saga_is_stuck_at_once(shop):
    order = shop.order("laptop-1")
    move(order, status="NEEDS_ATTENTION", attention="Look at me.", due_at=None)
    [case] = unfinished.needs_attention(limit=10, now=database_now())
    assert (case.order_number, case.why, case.status, case.order_id) == (
        order.number,
        "Look at me.",
        "NEEDS_ATTENTION",
        order.id,
    )
    assert unfinished.live_sagas().stuck == 1


def test_what_a_person_has_acknowledged_is_off_the_list_however_old(shop):
    order = shop.order("laptop-1")
    then = database_now()
    long_ago = then - timedelta(days=3)
    move(order, status="NEEDS_ATTENTION", due_at=None, acknowledged_at=then, started_at=long_ago, deadline_at=long_ago)
    assert stuck() == []
    assert unfinished.live_sagas().stuck == 0
    assert unfinished.live_sagas().by_status == {"NEEDS_ATTENTION": 1}


def test_a_saga_past_its_time_is_stuck_and_says_what_it_is_at(shop):
    early, late = shop.order("laptop-1"), shop.order("laptop-1")
    now = database_now()
    move(early, started_at=now - timedelta(seconds=200))
    move(late, started_at=now - timedelta(seconds=310), due_at=now - timedelta(seconds=271))
    assert stuck() == [late.number]
    [case] = unfinished.needs_attention(limit=10, now=database_now())
    assert case.why == "Next: validate inventory, due for 5 min."


def test_waiting_for_the_buyer_is_not_stuck_however_long(shop):
    order = shop.bought("laptop-1", token="")
    past = database_now() - timedelta(minutes=14)
    move(order, started_at=past, deadline_at=past + timedelta(minutes=5))
    assert stuck() == []
    move(order, wait_until=past)
    assert stuck() == [order.number]


def test_what_was_spent_waiting_does_not_count(shop):
    """The engine puts the deadline off by the time that was spent waiting; so a saga that was paid late is in time."""
    order = shop.order("laptop-1")
    now = database_now()
    move(order, started_at=now - timedelta(minutes=12), deadline_at=now + timedelta(minutes=3))
    assert stuck() == []


def test_parked_ones_come_first_then_the_oldest(shop):
    orders = [shop.order("laptop-1") for _ in range(3)]
    past = database_now() - timedelta(hours=1)
    for minutes, order in enumerate(orders):
        move(order, started_at=past - timedelta(minutes=minutes))
    move(orders[0], status="NEEDS_ATTENTION", due_at=None)
    assert stuck() == [orders[0].number, orders[2].number, orders[1].number]
    assert len(unfinished.needs_attention(limit=2, now=database_now())) == 2


def test_orders_per_hour(mixed):
    now = database_now().replace(minute=30)
    for order in mixed.values():
        Order.objects.filter(pk=order.id).update(created_at=now)
    Order.objects.filter(pk=mixed["tok_visa"].id).update(created_at=now - timedelta(hours=23))
    Order.objects.filter(pk=mixed["tok_flaky"].id).update(created_at=now - timedelta(hours=24))
    Order.objects.filter(pk=mixed["tok_fraud"].id).update(status="CANCELLED")
    hours = selectors.orders_per_hour(now=now)
    assert len(hours) == 24
    assert [hour.total for hour in hours] == [1, *[0] * 22, 4]
    assert (hours[0].confirmed, hours[0].start) == (
        1,
        (now - timedelta(hours=23)).replace(minute=0, second=0, microsecond=0),
    )
    last = hours[-1]
    assert (last.confirmed, last.failed, last.cancelled, last.open) == (0, 2, 1, 1)


def test_an_hour_of_very_many_orders_is_reckoned_from_its_last_ones(mixed, monkeypatch):
    monkeypatch.setattr(selectors, "MOST_AN_HOUR", 4)
    start = database_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    orders = sorted(mixed.values(), key=lambda order: order.status)
    for minutes, order in zip((10, 20, 45, 50, 55, 59), orders, strict=True):
        Order.objects.filter(pk=order.id).update(created_at=start + timedelta(minutes=minutes))
    Order.objects.update(status="FAILED", failure_code="out_of_stock")
    hour = selectors.orders_per_hour(now=start + timedelta(hours=2))[-3]
    assert (hour.start, hour.about) == (start, True)
    assert (hour.failed, hour.total) == (16, 16)  # four of them within the last quarter
    hour = selectors.orders_per_hour(now=start + timedelta(minutes=59))[-1]
    assert (hour.start, hour.about, hour.total) == (start, True, round(4 * 59 / 14))


def test_counts_end_somewhere(shop, monkeypatch):
    monkeypatch.setattr(counting, "MOST_READ", 2)
    shop.bought("laptop-1", token="")
    orders = [shop.bought("laptop-1", token="") for _ in range(5)]
    assert unfinished.live_sagas().by_status == {"IN_PROGRESS": 2}
    for order in orders[:3]:
        move(order, deadline_at=database_now(), wait_until=None, due_at=database_now())
    live = unfinished.live_sagas()
    assert (live.due, live.stuck) == (2, 2)
    assert unfinished.open_orders() == {"RESERVED": 2}
    assert selectors.shelves().units_held == 2
    for order in orders[:3]:
        move(order, status="NEEDS_ATTENTION", due_at=None)
    assert unfinished.live_sagas().stuck == 2
    for order in orders:
        move(order, status="IN_PROGRESS", due_at=database_now(), standby="pause:x", standby_since=database_now())
    assert [one.count for one in standby.waiting().values()] == [2]


def test_who_stands_by_and_who_waits_hide_nobody_who_is_late(shop, monkeypatch):
    monkeypatch.setattr(counting, "MOST_READ", 2)
    past = database_now() - timedelta(hours=1)
    for _ in range(3):
        move(shop.order("laptop-1"), deadline_at=past, standby="pause:x", standby_since=past)
        move(shop.order("laptop-1"), deadline_at=past, wait_until=past + timedelta(hours=2))
    late = shop.order("laptop-1")
    move(late, deadline_at=past + timedelta(minutes=50))
    assert unfinished.live_sagas().stuck == 1
    assert stuck() == [late.number]


def test_open_orders_and_shelves(mixed, shop):
    shop.stocked("gone-1", 0)
    assert unfinished.open_orders() == {"RESERVED": 1}
    shelves = selectors.shelves()
    assert (shelves.units_held, shelves.skus) == (1, 1)
    shop.stocked("few-1", 1)
    shop.bought("few-1")
    assert selectors.shelves().sold_out == 1


@pytest.mark.parametrize(
    ("measure", "queries"),
    [
        (lambda: selectors.recent_sagas(window=DAY), 1),
        (lambda: selectors.step_measures(window=DAY), 1),
        (unfinished.live_sagas, 5),
        (lambda: selectors.orders_per_hour(now=database_now()), 2),
        (unfinished.open_orders, 2),
        (selectors.shelves, 2),
    ],
)
def test_each_measure_is_few_queries(mixed, measure, queries, django_assert_num_queries):
    with django_assert_num_queries(queries):
        measure()


def test_the_hot_measures_are_read_off_indexes(transactional_db):
    """Whatever the planner prefers for an empty table: that the indexes fit the questions is what counts."""
    questions = {
        "sagas_unfinished": str(SagaInstance.objects.filter(unfinished.UNFINISHED).values("status").query).replace(
            "IN (COMPENSATED, COMPLETED, FAILED)", "IN ('COMPENSATED', 'COMPLETED', 'FAILED')"
        ),
        "sagas_newest": "SELECT id FROM sagas_sagainstance WHERE started_at >= now() ORDER BY started_at DESC LIMIT 9",
        "orders_newest": "SELECT count(*) FROM orders_order WHERE created_at >= now()",
    }
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        try:
            for index, question in questions.items():
                cursor.execute(f"EXPLAIN {question}")
                assert index in "\n".join(row[0] for row in cursor.fetchall())
        finally:
            cursor.execute("RESET enable_seqscan")
