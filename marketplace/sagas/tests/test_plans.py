"""The hot path's query plans use their indexes, however much history there is. The plans themselves are read."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.base import ServerBindingCursor

from marketplace.kernel.clock import database_now
from marketplace.sagas import archive, rows, selectors, services, standby, versions
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.tests.driving import QUEUES, run_sql
from marketplace.sagas.tests.trip import BookTrip

pytestmark = pytest.mark.django_db

FINISHED, BACKLOG, WAITING = 20_000, 3_000, 1_000

FILL = """
    INSERT INTO sagas_sagainstance (
        id, name, version, subject_id, steps, status, position, current_step, undoing, undone, queue, due_at, attempt,
        fence, in_flight, pending_signals, context, attention, wait_until, completed_at)
    SELECT gen_random_uuid(), 'book_trip', 1, gen_random_uuid(), '[]', %s, 0, '', false, 0, %s,
        statement_timestamp() + %s, 0, 0, false, 0, '{}', '', statement_timestamp() + %s,
        CASE WHEN %s::text = 'COMPLETED' THEN statement_timestamp() END
    FROM generate_series(1, %s)
"""
NEVER, PAST, FUTURE = None, timedelta(seconds=-1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def _history() -> None:
    for status, queue, due, wait, many in (
        ("COMPLETED", "orders", NEVER, NEVER, FINISHED),
        ("STARTED", "inventory", PAST, NEVER, BACKLOG),
        ("STARTED", "orders", PAST, NEVER, 50),
        ("IN_PROGRESS", "orders", FUTURE, FUTURE, WAITING),
    ):
        run_sql(FILL, [status, queue, due, wait, status, many])
    run_sql(
        "INSERT INTO sagas_sagahistory (saga_id, step, direction, status, attempt, message, error, started_at,"
        " finished_at, duration_ms) SELECT id, 'seat', 'forward', 'DONE', 1, '', '', started_at, started_at, 0"
        " FROM sagas_sagainstance"
    )
    run_sql(
        "INSERT INTO sagas_sagasignal (saga_id, name, signal_id, payload, received_at, disposition)"
        " SELECT id, 'approval', '1', '{}', started_at, '' FROM sagas_sagainstance WHERE status = 'COMPLETED'"
    )
    run_sql("ANALYZE sagas_sagainstance, sagas_sagahistory, sagas_sagasignal")


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def scans_of(run: Callable[[], Any]) -> list[dict[str, Any]]:
    """Run it; return the nodes of its statements' plans that read our tables or their indexes."""
    scans: list[dict[str, Any]] = []

    def explain(execute: Any, statement: str, parameters: Any, many: bool, context: Any) -> Any:
        if statement.split(maxsplit=1)[0] in {"SELECT", "WITH", "UPDATE", "INSERT"}:
            with ServerBindingCursor(connection.connection) as cursor:  # it knows arrays in binary
                cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
                answer = cursor.fetchone()[0]
            nodes = _nodes((json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"])
            scans.extend(node for node in nodes if "Index Name" in node or "Seq Scan" in node["Node Type"])
        return execute(statement, parameters, many, context)

    with connection.execute_wrapper(explain):
        run()
    return scans


def indexes(run: Callable[[], Any]) -> set[str]:
    """Run it; return the indexes that its statements use, and the names of the tables that they read end to end."""
    return {node.get("Index Name") or f"all of {node['Relation Name']}" for node in scans_of(run)}


def some(many: int = 200, **condition: Any) -> list[SagaInstance]:
    return list(SagaInstance.objects.filter(**condition)[:many])


@pytest.mark.parametrize("queues", [QUEUES, ["orders"], ["payments"]], ids=["all", "one", "an empty one"])
def test_a_claim_reads_its_own_queues_in_the_order_of_the_index(queues: Any) -> None:
    """Nothing is read and thrown away, also where another queue has a backlog."""
    (scan,) = scans_of(lambda: rows.claim(queues, 200))
    assert scan["Index Name"] == "sagas_claim"
    assert "queue" in scan["Index Cond"]
    assert "due_at" in scan["Index Cond"]
    assert "Filter" not in scan


def test_the_other_statements_of_a_worker_go_by_the_key() -> None:
    sagas = some(queue="inventory")
    ids, fences = [saga.id for saga in sagas], [0] * len(sagas)
    for run in (
        lambda: rows.claim_one(ids[0]),
        lambda: rows.hold(ids, fences),
        lambda: rows.hold(ids[:1], fences[:1]),
        lambda: rows.renew(ids, fences, timedelta(seconds=15)),
    ):
        assert indexes(run) == {"sagas_sagainstance_pkey"}


def test_a_start_asks_for_the_unfinished_and_reads_no_other() -> None:
    SagaInstance.objects.filter(status="STARTED").delete()  # as it is on any day but the worst
    run_sql("ANALYZE sagas_sagainstance")
    assert indexes(versions.stranded) == {"sagas_unfinished"}


def test_signals_are_found_by_their_saga() -> None:
    waiting = some(1, wait_until__isnull=False)[0]
    used = indexes(lambda: services.signal(waiting.id, "approval", signal_id="1"))
    assert used == {"sagas_sagainstance_pkey", "sagas_signal_once"}
    runs, _ = rows.claim(["orders"], 50)
    for run in runs:
        run.pending_signals = 1
    assert indexes(lambda: rows.read_signals(runs)) == {"sagas_signal_once"}


def test_stories_and_subjects_are_found_by_their_keys() -> None:
    sagas = some(5)
    subjects = [saga.subject_id for saga in sagas]
    assert indexes(lambda: selectors.story(sagas[0].id)) == {"sagas_sagainstance_pkey", "sagas_history_of_saga"}
    for run in (
        lambda: selectors.statuses(subjects, name=BookTrip.name),
        lambda: selectors.live_subjects(subjects),
        lambda: services.nudge(subjects, now=database_now()),
    ):
        assert indexes(run) == {"sagas_one_of_a_kind_per_subject"}


def test_the_sweep_looks_once_into_the_index_per_queue() -> None:
    assert indexes(selectors.queues_with_due_sagas) == {"sagas_claim"}
    assert selectors.queues_with_due_sagas() == ["inventory", "orders"]


def test_who_stands_by_is_found_by_an_index_of_those() -> None:
    run_sql(
        "UPDATE sagas_sagainstance SET standby = 'circuit:bank', standby_since = now() WHERE status = 'IN_PROGRESS'"
    )
    run_sql("ANALYZE sagas_sagainstance")
    assert indexes(standby.waiting) == {"sagas_standing_by"}
    assert "sagas_standing_by" in indexes(lambda: standby.wake("circuit:bank"))


def test_what_is_archived_is_found_by_its_age() -> None:
    """Few are old enough, because it is done every hour."""
    ago = database_now() - timedelta(days=31)
    old = [saga.pk for saga in some(50, status="COMPLETED")]
    SagaInstance.objects.filter(pk__in=old).update(started_at=ago, completed_at=ago)
    run_sql("ANALYZE sagas_sagainstance")
    run_sql("SET LOCAL enable_seqscan = off")  # a batch is as many as there are here: the question is how it is sorted
    assert "sagas_newest" in indexes(lambda: archive.archive(older_than=timedelta(days=30)))
