"""Whether this process can serve, told part by part.

    GET /health/live     the process answers; asks nobody else. A failing one is to be restarted.
    GET /health/ready    200 while orders can be taken, else 503. A failing one gets no requests for now.

Orders are taken as long as the database is there and has its tables. Without Redis they wait in PostgreSQL, and without
workers too, so these only make it "degraded": taking the web processes out as well would help nobody.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import psycopg
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from marketplace.kernel import redis
from marketplace.kernel.clock import database_now
from marketplace.outbox import selectors as outbox
from marketplace.sagas import selectors as sagas
from orders.messages import selectors as messages

CONNECT_SECONDS: Final = 2
ANSWER_MILLISECONDS: Final = 1000
LATE_SECONDS: Final = 60.0  # due for so long and not taken, or told and not published: somebody is missing
MAIL_LATE_SECONDS: Final = 900.0  # a server may well say "not now" for some minutes

OK: Final = "ok"
DEGRADED: Final = "degraded"
FAILING: Final = "failing"

Check = Mapping[str, Any]

_migrations_seen: set[str] = set()  # databases found up to date: the code of a running process does not change


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """Say that this process is alive."""
    return JsonResponse({"status": "alive"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Say whether orders can be taken, and how each part is."""
    checks = look()
    states = {check["status"] for check in checks.values()}
    status = "not_ready" if FAILING in states else DEGRADED if DEGRADED in states else "ready"
    return JsonResponse({"status": status, "checks": checks}, status=503 if status == "not_ready" else 200)


def look() -> dict[str, Check]:
    """Look at each part. Takes a few seconds at most, whatever state the database is in."""
    checks = {"database": _database()}
    if checks["database"]["status"] == OK:
        checks["migrations"] = _asked(_migrations)
        if checks["migrations"]["status"] == OK:
            checks["sagas"] = _asked(_sagas)
            checks["outbox"] = _asked(_outbox)
            checks["mails"] = _asked(_mails)
    checks["redis"] = _redis()
    return checks


def _database() -> Check:
    """Connect anew and ask something, both with a short time-out: the request's own connection has none."""
    begun = time.perf_counter()
    try:
        parameters = {**connection.get_connection_params(), "connect_timeout": CONNECT_SECONDS}
        with psycopg.connect(**parameters) as probe, probe.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(ANSWER_MILLISECONDS)])
            cursor.execute("SELECT 1")
    except psycopg.Error as error:
        return {"status": FAILING, "why": f"does not answer ({type(error).__name__})"}
    return {"status": OK, "milliseconds": round((time.perf_counter() - begun) * 1000, 1)}


def _asked(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except DatabaseError as error:
        return {"status": FAILING, "why": f"can't be asked ({type(error).__name__})"}


def _migrations() -> Check:
    database = str(connection.settings_dict["NAME"])
    if database not in _migrations_seen:
        executor = MigrationExecutor(connection)
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if missing:
            return {"status": FAILING, "why": f"{missing} not applied: run manage.py migrate"}
        _migrations_seen.add(database)
    return {"status": OK}


def _sagas() -> Check:
    due = sagas.due()
    check = {"status": OK, "due": due.count, "oldestDueSeconds": round(due.oldest_seconds, 1)}
    if due.oldest_seconds > LATE_SECONDS:
        return {**check, "status": DEGRADED, "why": "orders wait: is a worker running for every queue?"}
    return check


def _outbox() -> Check:
    backlog = outbox.backlog()
    check = {"status": OK, "unpublished": backlog.count, "oldestSeconds": round(backlog.oldest_seconds, 1)}
    if backlog.oldest_seconds > LATE_SECONDS:
        return {**check, "status": DEGRADED, "why": "events wait: is the relay running, and its bus?"}
    return check


def _mails() -> Check:
    post = messages.post(now=database_now())
    check = {"status": OK, "waiting": post.waiting, "oldestSeconds": round(post.oldest_seconds, 1)}
    if post.oldest_seconds > MAIL_LATE_SECONDS:
        return {**check, "status": DEGRADED, "why": "mails wait: is the mail server there, and a worker for messages?"}
    return check


def _redis() -> Check:
    if redis.available(lambda r: bool(r.ping()), default=False):
        return {"status": OK}
    return {"status": DEGRADED, "why": "does not answer: orders are taken, and wait in PostgreSQL"}
