import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from marketplace.kernel import redis
from marketplace.kernel.clock import database_now
from marketplace.operations import health
from marketplace.operations.tests.auditor.breaking import sql
from marketplace.sagas.models import SagaInstance


def ready(client):
    response = client.get("/health/ready")
    assert response["Content-Type"] == "application/json"
    assert "no-cache" in response["Cache-Control"]
    body = response.json()
    return response.status_code, body["status"], {name: one["status"] for name, one in body["checks"].items()}


@pytest.fixture(autouse=True)
def _forget_migrations():
    health._migrations_seen.clear()


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A busy machine is no database that hangs, and no Redis that is down."""
    monkeypatch.setattr(health, "CONNECT_SECONDS", 30)
    monkeypatch.setattr(health, "ANSWER_MILLISECONDS", 30_000)
    monkeypatch.setattr(redis, "CONNECT_TIMEOUT_SECONDS", 30)
    monkeypatch.setattr(redis, "ANSWER_TIMEOUT_SECONDS", 30)
    redis._connected.cache_clear()  # clients keep the times they were made with
    yield
    redis._connected.cache_clear()


def test_live_asks_nobody(client, settings, nobody_listens):
    """No database fixture: a query would fail the test."""
    settings.REDIS_URL = nobody_listens.replace("http", "redis")
    response = client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


def test_all_is_well(client, transactional_db):
    assert ready(client) == (
        200,
        "ready",
        {"database": "ok", "migrations": "ok", "sagas": "ok", "outbox": "ok", "mails": "ok", "redis": "ok"},
    )


def test_without_redis_orders_are_still_taken(client, transactional_db, settings, nobody_listens):
    settings.REDIS_URL = nobody_listens.replace("http", "redis")
    code, status, checks = ready(client)
    assert (code, status, checks["redis"], checks["database"]) == (200, "degraded", "degraded", "ok")


@contextmanager
def database_at(port: int) -> Iterator[None]:
    """Whoever connects anew does so to `port` of this machine."""
    usual = connection.get_connection_params()
    connection.ensure_connection()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "get_connection_params", lambda: {**usual, "host": "127.0.0.1", "port": port})
        yield


def test_a_database_that_refuses(client, transactional_db, nobody_listens):
    with database_at(int(nobody_listens.rpartition(":")[2])):
        code, status, checks = ready(client)
    assert (code, status) == (503, "not_ready")
    assert checks == {"database": "failing", "redis": "ok"}


def test_a_database_that_hangs_is_not_waited_for(client, transactional_db, monkeypatch):
    monkeypatch.setattr(health, "CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent, database_at(silent.getsockname()[1]):
        begun = time.perf_counter()
        code, status, _ = ready(client)
        took = time.perf_counter() - begun
    assert (code, status) == (503, "not_ready")
    assert took < health.CONNECT_SECONDS + 60  # nobody ever answers there


def test_a_missing_migration(client, transactional_db):
    newest = MigrationRecorder.Migration.objects.filter(app="orders").latest("id")
    newest.delete()
    try:
        code, status, checks = ready(client)
        assert (code, status) == (503, "not_ready")
        assert checks == {"database": "ok", "migrations": "failing", "redis": "ok"}
        assert "run manage.py migrate" in client.get("/health/ready").json()["checks"]["migrations"]["why"]
    finally:
        newest.save()


def test_a_missing_table(client, transactional_db):
    sql("ALTER TABLE sagas_sagainstance RENAME TO elsewhere")
    try:
        code, status, checks = ready(client)
        assert (code, status, checks["sagas"]) == (503, "not_ready", "failing")
    finally:
        sql("ALTER TABLE elsewhere RENAME TO sagas_sagainstance")


def test_orders_that_nobody_takes(client, shop):
    order = shop.order("laptop-1")
    SagaInstance.objects.filter(pk=order.saga_id).update(due_at=database_now() - timedelta(seconds=90))
    code, status, checks = ready(client)
    assert (code, status, checks["sagas"]) == (200, "degraded", "degraded")
    check = client.get("/health/ready").json()["checks"]["sagas"]
    assert check["due"] == 1
    assert 90 <= check["oldestDueSeconds"] < 90 + 120


def test_events_that_nobody_publishes(client, shop):
    shop.bought("laptop-1")
    sql("UPDATE outbox_event SET occurred_at = now() - interval '2 minutes'")
    code, status, checks = ready(client)
    assert (code, status, checks["outbox"]) == (200, "degraded", "degraded")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_only_reading(client, path):
    assert client.post(path).status_code == 405


def test_migrations_are_asked_for_once(client, transactional_db, django_assert_max_num_queries):
    client.get("/health/ready")
    with django_assert_max_num_queries(6):
        client.get("/health/ready")
