"""How a worker drives sagas: claim a group, move it, make its calls, record their answers, until nothing is due.

    claim (T1) ──► handlers ──► intents ─commit─► calls, side by side ──► answers (T2) ──► handlers ─commit─► …

No transaction is open, and no row locked, during a call. While calls are in flight the worker goes on claiming, so one
slow answer holds up nobody else.
"""

import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from marketplace.kernel.clock import database_now
from marketplace.sagas import rows
from marketplace.sagas.definition import find
from marketplace.sagas.models import TERMINAL, Direction, Result, SagaInstance, Status
from marketplace.sagas.outcomes import Unknown
from marketplace.sagas.rows import Run
from marketplace.sagas.stepping import Flight, Pass
from marketplace.sagas.ticket import Ticket

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1  # how soon new work is seen while the only thing to do is to wait for answers
GATHER_SECONDS = 0.003  # how long a first answer waits for others, to be recorded together with them
DEADLOCKS = 5  # how often a group is run again after the database chose it as a deadlock's victim

INFRASTRUCTURE = (OperationalError, InterfaceError)  # the database is in trouble, not the saga

_pool: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    """The threads that make calls; one pool a process, made after the fork."""
    global _pool  # noqa: PLW0603
    if _pool is None:
        _pool = ThreadPoolExecutor(settings.SAGA_CALL_CONCURRENCY, thread_name_prefix="saga-call")
    return _pool


class Airborne:
    """One call in flight, as the worker that made it sees it."""

    __slots__ = ("flight", "lease_ends", "started")

    def __init__(self, flight: Flight, lease_ends: float) -> None:
        self.flight = flight
        self.lease_ends = lease_ends  # on this process's steady clock, and earlier than the database's
        self.started: float | None = None

    def send(self) -> Any:
        """Make the call, unless our right to it may have lapsed while it queued for a thread."""
        self.started = time.monotonic()
        if self.started > self.lease_ends:
            return Unknown("the lease had ended before the call was made")
        return self.flight.send()

    @property
    def overdue(self) -> bool:
        return self.started is not None and time.monotonic() - self.started > self.flight.call.timeout


class Worker:
    """One drive: moves everything that is due in `queues` until there is nothing, or `until` (steady clock) comes."""

    def __init__(self, queues: Sequence[str], *, on_full: Callable[[], None], on_bell: Callable[[str], None]) -> None:
        self.queues = list(queues)
        self.moved = 0
        self._on_full = on_full
        self._on_bell = on_bell
        self._in_the_air: dict[Future[Any], Airborne] = {}
        self._renewed = time.monotonic()

    def drive(self, *, until: float) -> bool:
        """Return True when nothing was left, False when the time was up first. Never returns with calls in flight."""
        limit = settings.SAGA_BATCH_SIZE
        while True:
            in_time = time.monotonic() < until
            claimed = self._claim(limit) if in_time and len(self._in_the_air) < limit else 0
            if claimed >= limit:
                self._on_full()
            if self._in_the_air:
                self._settle(0 if claimed >= limit else POLL_SECONDS)
            elif not claimed or not in_time:
                return not claimed and in_time

    # --- T1 -----------------------------------------------------------------------------------------------------------

    def _claim(self, limit: int) -> int:
        try:
            return self._deadlock_proof(lambda: self._step_claimed(lambda: rows.claim(self.queues, limit)))
        except INFRASTRUCTURE:
            raise
        except Exception:
            log.exception("a group failed; running it one by one")
            return self._claim_one_by_one(limit)

    def _claim_one_by_one(self, limit: int) -> int:
        with transaction.atomic():
            runs, _ = rows.claim(self.queues, limit)
        for run in runs:
            saga_id = run.ticket.id
            try:
                self._deadlock_proof(lambda one=saga_id: self._step_claimed(lambda: rows.claim_one(one)))  # type: ignore[misc]
            except INFRASTRUCTURE:
                raise
            except Exception as error:  # noqa: BLE001 - this is the one: it is parked, with the traceback on record
                park(saga_id, error)
        return len(runs)

    def _step_claimed(self, claim: Callable[[], tuple[list[Run], Any]]) -> int:
        with transaction.atomic():
            runs, now = claim()
            if now is None:
                return 0
            leased_at = time.monotonic()
            step = Pass(now=now, queues=frozenset(self.queues))
            step.claimed(runs)
            step.write()
        self._committed(step, leased_at, len(runs))
        return len(runs)

    # --- the calls ----------------------------------------------------------------------------------------------------

    def _committed(self, step: Pass, leased_at: float, moved: int) -> None:
        self.moved += moved
        for queue in step.bells:
            self._on_bell(queue)
        for flight in step.flights:
            airborne = Airborne(flight, leased_at + settings.SAGA_LEASE_SECONDS)
            self._in_the_air[_threads().submit(airborne.send)] = airborne

    def _settle(self, patience: float) -> None:
        """Record the answers that are there, after waiting at most `patience` seconds for the first."""
        done, pending = wait(self._in_the_air, timeout=patience, return_when=FIRST_COMPLETED)
        if done and pending:
            late, _ = wait(pending, timeout=GATHER_SECONDS)
            done |= late
        replies: dict[UUID, Any] = {}
        landed: list[Run] = []
        for future in [f for f, airborne in self._in_the_air.items() if f in done or airborne.overdue]:
            airborne = self._in_the_air.pop(future)
            run = airborne.flight.run
            landed.append(run)
            replies[run.ticket.id] = self._reply(future, airborne)
        if landed:
            self._answer(landed, replies)
        self._renew()

    def _reply(self, future: Future[Any], airborne: Airborne) -> Any:
        if not future.done():
            return Unknown(f"no answer within {airborne.flight.call.timeout:g} s")
        error = future.exception()
        if error is None:
            return future.result()
        log.warning("a call raised", saga=str(airborne.flight.run.ticket.id), exc_info=error)
        return Unknown(f"{type(error).__name__}: {error}")

    def _renew(self) -> None:
        """Prolong the leases of calls that are still in flight, well before they end."""
        if not self._in_the_air or time.monotonic() - self._renewed < settings.SAGA_LEASE_SECONDS / 3:
            return
        self._renewed = time.monotonic()
        lease = timedelta(seconds=settings.SAGA_LEASE_SECONDS)
        held = [airborne.flight.run for airborne in self._in_the_air.values()]
        ours = rows.renew([run.ticket.id for run in held], [run.fence for run in held], lease)
        for airborne in self._in_the_air.values():
            if airborne.flight.run.ticket.id in ours:
                airborne.lease_ends = self._renewed + settings.SAGA_LEASE_SECONDS

    # --- T2 -----------------------------------------------------------------------------------------------------------

    def _answer(self, landed: Sequence[Run], replies: dict[UUID, Any]) -> None:
        try:
            self._deadlock_proof(lambda: self._step_answered(landed, replies))
        except INFRASTRUCTURE:
            raise
        except Exception:
            log.exception("recording a group failed; running it one by one")
            for run in landed:
                try:
                    self._deadlock_proof(lambda one=run: self._step_answered([one], replies))  # type: ignore[misc]
                except INFRASTRUCTURE:
                    raise
                except Exception as error:  # noqa: BLE001
                    park(run.ticket.id, error)

    def _step_answered(self, landed: Sequence[Run], replies: dict[UUID, Any]) -> int:
        with transaction.atomic():
            runs, now = rows.hold([run.ticket.id for run in landed], [run.fence for run in landed])
            if len(runs) < len(landed):
                log.warning("answers discarded: another worker has taken over", count=len(landed) - len(runs))
            if now is None:
                return 0
            leased_at = time.monotonic()
            step = Pass(now=now, queues=frozenset(self.queues))
            step.answered(runs, replies)
            step.write()
        self._committed(step, leased_at, len(runs))
        return len(runs)

    def _deadlock_proof(self, move: Callable[[], int]) -> int:
        for attempt in range(1, DEADLOCKS + 1):
            try:
                return move()
            except OperationalError as error:
                # 40P01 deadlock_detected, 40001 serialization_failure: nothing was written, and it is safe to repeat
                if getattr(error.__cause__, "sqlstate", "") not in {"40P01", "40001"} or attempt == DEADLOCKS:
                    raise
        raise AssertionError("unreachable")


def park(saga_id: UUID, error: BaseException) -> None:
    """Put one saga aside for a person: something unforeseen was raised for it. Its own transaction."""
    log.error("saga_parked", saga=str(saga_id), exc_info=error)
    why = f"{type(error).__name__}: {error}"
    with transaction.atomic():
        row = SagaInstance.objects.select_for_update().get(pk=saga_id)
        if row.status in TERMINAL:
            return
        now = database_now()
        direction = Direction.COMPENSATING if row.undoing else Direction.FORWARD
        trace = "".join(traceback.format_exception(error))
        attempt = max(row.attempt, 1)
        rows.save_history([(saga_id, row.current_step, direction, Result.PARKED, attempt, why, trace, now, now, 0)])
        SagaInstance.objects.filter(pk=saga_id).update(
            status=Status.NEEDS_ATTENTION, attention=why, due_at=None, in_flight=False, updated_at=now
        )
    _tell(row, now=now)


def _tell(row: SagaInstance, *, now: datetime) -> None:
    """Publish that a saga was parked. On its own: what raised may be the very workspace that publishes."""
    definition = find(row.name, row.version)
    if definition is None:
        return
    ticket = Ticket(id=row.id, subject_id=row.subject_id, context=row.context, cause=None)
    try:
        with transaction.atomic():
            SagaInstance.objects.select_for_update().get(pk=row.pk)
            workspace = definition.workspace()
            workspace.open([ticket], now=now)
            workspace.moved(ticket, Status.NEEDS_ATTENTION, now=now)
            workspace.close(now=now)
    except INFRASTRUCTURE:
        raise
    except Exception:
        log.exception("parking_not_published", saga=str(row.id))
