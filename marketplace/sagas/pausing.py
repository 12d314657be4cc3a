"""A person tells a definition, one of its steps, or a queue to stand still, and later to go on.

    pause("place_order", …)                       nothing of any order moves
    pause("place_order/authorize_payment", …)     orders come as far as that step (there, and on the way back)
    pause("queue:payments", …)                    no step of that queue is begun, whatever the saga

Nothing is lost and nothing refused: new sagas are started, signals are stored, a call that is under way is recorded
when its answer comes. Whoever comes to what is paused stands by (`standby`). When it is resumed they go on at
SAGA_RESUME_RATE a second. Who paused and resumed, when and why, stays on record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db import IntegrityError, transaction

from marketplace.kernel.clock import database_now
from marketplace.sagas import doorbell, standby
from marketplace.sagas.definition import known
from marketplace.sagas.errors import AlreadyPaused, NothingToPause, NotPaused, ReasonRequired
from marketplace.sagas.models import Pause

LONGEST_ACTOR = 150  # characters, as the columns have it


@dataclass(frozen=True, slots=True)
class View:
    """A pause as operations sees it: `waiting` sagas stand by for it. `resumed_at` is None while it lasts."""

    what: str
    paused_at: datetime
    paused_by: str
    reason: str
    waiting: int
    resumed_at: datetime | None = None
    resumed_by: str = ""
    resumed_because: str = ""


def pause(what: str, *, actor: str, reason: str) -> View:
    """Let what is called so stand still from now on: whoever is claimed after this has committed stands by.

    A transaction of its own, or the caller's. Definitions must be loaded. Raises `ReasonRequired`, `NothingToPause` or
    `AlreadyPaused`.
    """
    _check(what, actor, reason)
    now = database_now()
    try:
        with transaction.atomic():
            row = Pause.objects.create(what=what, paused_at=now, paused_by=_who(actor), reason=reason.strip())
    except IntegrityError as error:
        raise AlreadyPaused(f"{what} is paused already.", what=what) from error
    return _view(row, 0)


def resume(what: str, *, actor: str, reason: str) -> View:
    """Let it go on: whoever stood by for it is woken, the longest-waiting first, at SAGA_RESUME_RATE a second.

    A transaction of its own, or the caller's. Raises `ReasonRequired` or `NotPaused`.
    """
    if not actor.strip() or not reason.strip():
        raise ReasonRequired
    with transaction.atomic():
        row = Pause.objects.select_for_update().filter(what=what, resumed_at__isnull=True).first()
        if row is None:
            raise NotPaused(f"{what} is not paused.", what=what)
        row.resumed_at, row.resumed_by, row.resumed_because = database_now(), _who(actor), reason.strip()
        row.save()
        found = standby.waiting().get(standby.pause(what))
        for queue in standby.wake(standby.pause(what)):
            transaction.on_commit(partial(doorbell.ring, queue))
    return _view(row, found.count if found else 0)


def views(waiting: Mapping[str, standby.Waiting] | None = None, *, past: int = 0) -> list[View]:
    """The pauses that last, the oldest first; then, the latest first, so many that are over.

    `waiting`: what `standby.waiting` said, if it was asked.
    """
    waiting = standby.waiting() if waiting is None else waiting
    lasting = Pause.objects.filter(resumed_at__isnull=True).order_by("paused_at", "id")
    over = Pause.objects.filter(resumed_at__isnull=False).order_by("-resumed_at", "-id")[:past]
    counts = {reason: one.count for reason, one in waiting.items()}
    return [
        *(_view(row, counts.get(standby.pause(row.what), 0)) for row in lasting),
        *(_view(row, 0) for row in over),
    ]


def pausable() -> list[str]:
    """Everything that can be paused here: each definition with its steps, and the queues."""
    found: list[str] = []
    queues: set[str] = set()
    for name, steps in known().items():
        found += [name, *(f"{name}/{node.name}" for node in steps)]
        queues |= {node.queue for node in steps}
    return [*found, *(f"queue:{queue}" for queue in sorted(queues))]


def _check(what: str, actor: str, reason: str) -> None:
    if not actor.strip() or not reason.strip():
        raise ReasonRequired
    if what not in pausable():
        raise NothingToPause(
            f"There is nothing called {what!r} to pause. There is: {', '.join(pausable())}.", what=what
        )


def _who(actor: str) -> str:
    return actor.strip()[:LONGEST_ACTOR]


def _view(row: Pause, waiting: int) -> View:
    return View(
        what=row.what,
        paused_at=row.paused_at,
        paused_by=row.paused_by,
        reason=row.reason,
        waiting=waiting,
        resumed_at=row.resumed_at,
        resumed_by=row.resumed_by,
        resumed_because=row.resumed_because,
    )
