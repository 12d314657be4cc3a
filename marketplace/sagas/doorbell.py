"""The doorbell: how a worker learns that something is due. PostgreSQL holds the work; a lost ring loses nothing.

A flag in Redis says that a ring is on its way or being answered, so however many orders arrive, at most one message per
queue and slot is under way. The flag is dropped *before* the last, empty claim: a saga committed before the drop is
seen by that claim, one committed after it raises the flag anew. A worker whose batch is full rings for the next slot,
so further workers join only while there is enough for them.

Whoever has answered stays on the line for a moment (`line`): then the next ring goes straight to it, and no message is
sent. That spares an order the way through Celery, several milliseconds, where they come at least a few a second.

If the flag, the message or all of Redis is lost, the sweep of Celery beat finds what is due in PostgreSQL. Whoever
answers keeps the flag fresh, so the sweep can tell a bell that is being answered from one whose worker died. (It must:
under load something is due whenever it looks, and its messages would pile up before every other task's.)
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from celery import current_app
from django.conf import settings

from marketplace.kernel import redis
from marketplace.sagas.line import Line
from marketplace.sagas.runner import Worker

if TYPE_CHECKING:
    from redis import Redis

log = structlog.get_logger(__name__)

FLAG_SECONDS = 10  # a flag that nobody looks after (its worker died) is gone after that
FRESH_SECONDS = 4.0  # the sweep does not ring where somebody has looked after the flag so recently
LINGER_SECONDS = 0.25  # how long one who has answered stays on the line
SHIFT_SECONDS = 2.0  # after that a task hands over to a new one, so that a worker can be stopped and others get a turn
STEP_TASK = "marketplace.sagas.tasks.step"


def _flag(queue: str, slot: int) -> str:
    return f"saga:bell:{queue}:{slot}"


# In one step: whoever raises the flag knows whether somebody has heard it; if so, no message needs to be sent.
_RING = """
    if redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[1]) then return redis.call('PUBLISH', ARGV[2], '') end
    return -1
"""


def ring(queue: str, slot: int = 0) -> None:
    """Say that `queue` has something due. Cheap, never raises, and does nothing while an earlier ring is unanswered."""
    heard = redis.available(
        lambda r: int(r.eval(_RING, 1, _flag(queue, slot), FLAG_SECONDS, Line.channel(r, queue, slot))), None
    )
    if heard == 0 or (heard is None and not _broker_is_redis()):
        _send(queue, slot)


def ring_anyway(queue: str) -> None:
    """Ring although the flag is up, unless it is fresh: the sweep has seen that something is due and nobody came."""
    if redis.available(lambda r: _take_over(r, _flag(queue, 0)), default=False) or not _broker_is_redis():
        _send(queue, 0)


def _take_over(r: "Redis", flag: str) -> bool:
    if r.pttl(flag) > (FLAG_SECONDS - FRESH_SECONDS) * 1000:
        return False
    return bool(r.set(flag, 1, ex=FLAG_SECONDS))


def answer(queue: str, slot: int, queues: Sequence[str]) -> int:
    """Move what is due in `queues` until nothing is left or the shift is over; return how many moves were made."""

    def call_in_the_next() -> None:
        if slot + 1 < settings.SAGA_WORKER_SLOTS:
            ring(queue, slot + 1)

    worker, line = Worker(queues, on_full=call_in_the_next, on_bell=ring), Line(queue, slot)
    try:
        if not _answer(worker, _flag(queue, slot), line):
            _send(queue, slot)
    except BaseException:
        _drop(_flag(queue, slot))  # nobody answers now, so whoever rings next must be heard
        raise
    finally:
        line.hang_up()
    return worker.moved


def _answer(worker: Worker, flag: str, line: Line) -> bool:
    """Return True when whatever comes from now on is announced by a message, False when the shift ended before that."""
    until = time.monotonic() + SHIFT_SECONDS
    _keep(flag)
    while worker.drive(until=until):
        line.join()  # before the flag is dropped: who raises it anew is heard
        _drop(flag)
        before = worker.moved
        if worker.drive(until=until) and worker.moved == before:
            if line.rings(min(LINGER_SECONDS, until - time.monotonic())):
                continue  # whoever rang has raised the flag for us
            if worker.moved and time.monotonic() >= until:
                break  # there was work a moment ago: the next ring shall meet somebody on the line, too
            if not line.hang_up():
                return True
        _keep(flag)
    _keep(flag)
    return False


def _keep(flag: str) -> None:
    redis.available(lambda r: r.set(flag, 1, ex=FLAG_SECONDS), None)


def _drop(flag: str) -> None:
    redis.available(lambda r: r.delete(flag), None)


def _broker_is_redis() -> bool:
    return settings.CELERY_BROKER_URL.startswith(("redis", "rediss"))


def _send(queue: str, slot: int) -> None:
    try:
        current_app.send_task(STEP_TASK, args=(queue, slot), queue=queue, expires=60, retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 - each broker has its own; what is due is committed, the sweep finds it
        log.warning("doorbell_unreachable", queue=queue, error=type(error).__name__, message=str(error))
