"""A saga's whole state is one row; each attempt at a step is a row of its history; each signal is a row."""

from typing import ClassVar

from django.db import models
from django.db.models import Case, Q, When
from django.db.models.functions import Coalesce, Greatest, Now

from marketplace.kernel.ids import new_id


class Status(models.TextChoices):
    STARTED = "STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"  # a step refused, and there was nothing to undo
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.COMPENSATED})

# When the time of a saga is over: at its deadline, and not before the end of what it waits for. One that nobody has
# worked on yet has no deadline, and begins to count when it started; one that stands by is never late.
LATE_AT = Case(When(standby="", then=Greatest(Coalesce("deadline_at", "started_at"), "wait_until")))


class SagaInstance(models.Model):
    """One running or finished saga. Written only by the engine, while it holds the row's lock.

    `due_at` is the one thing that workers look for: the next instant at which there is something to do. While a call is
    in flight it is the end of the lease, so a worker that died is simply overtaken; while a saga waits it is the
    deadline of the wait; when there is nothing to do it is empty. `fence` grows with each call that is started: an
    outcome is written only by the holder of the latest one (a fencing token; Kleppmann, "How to do distributed
    locking", 2016).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=60)
    version = models.PositiveSmallIntegerField()
    subject_id = models.UUIDField()
    steps = models.JSONField(help_text="the step names this saga started with, in order")
    status = models.CharField(max_length=16, choices=Status, default=Status.STARTED)
    position = models.SmallIntegerField(default=0)
    current_step = models.CharField(max_length=60, blank=True)
    undoing = models.BooleanField(default=False)
    undone = models.SmallIntegerField(default=0, help_text="how many compensations were carried out")
    queue = models.CharField(max_length=30)
    due_at = models.DateTimeField(null=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    forgiven = models.PositiveSmallIntegerField(
        db_default=0,
        help_text="of these attempts, how many do not count: they died with a worker, or a person had it tried anew",
    )
    fence = models.BigIntegerField(default=0)
    in_flight = models.BooleanField(default=False)
    step_started_at = models.DateTimeField(null=True)
    wait_until = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    pending_signals = models.PositiveIntegerField(default=0)
    context = models.JSONField(default=dict)
    cause = models.JSONField(null=True)
    attention = models.TextField(blank=True)
    standby = models.CharField(
        max_length=140,
        blank=True,
        default="",
        db_default="",
        help_text="what it waits for to be opened again: circuit:<name> or pause:<what>; it spends no attempts",
    )
    standby_since = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(
        null=True, help_text="when a person chose to leave it in NEEDS_ATTENTION, off the alert list"
    )
    started_at = models.DateTimeField(db_default=Now())
    completed_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "saga"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["subject_id", "name"], name="sagas_one_of_a_kind_per_subject"),
            models.CheckConstraint(
                name="sagas_finished_is_not_due",
                condition=~Q(status__in=["COMPLETED", "FAILED", "COMPENSATED"])
                | Q(due_at__isnull=True, completed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="sagas_unfinished_is_due",  # nobody would ever look at it again
                condition=Q(status__in=["COMPLETED", "FAILED", "COMPENSATED", "NEEDS_ATTENTION"])
                | Q(due_at__isnull=False),
            ),
            models.CheckConstraint(
                name="sagas_standby_is_due",  # whoever stands by looks again by itself, should nobody wake it
                condition=Q(standby="") | Q(due_at__isnull=False, standby_since__isnull=False),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["queue", "due_at"], name="sagas_claim", condition=Q(due_at__isnull=False)),
            models.Index(fields=["-started_at"], name="sagas_newest"),
            models.Index(
                "status",
                LATE_AT,
                name="sagas_unfinished",
                condition=~Q(status__in=["COMPLETED", "FAILED", "COMPENSATED"]),
            ),
            models.Index(
                fields=["acknowledged_at", "started_at"],
                name="sagas_parked",
                condition=Q(status="NEEDS_ATTENTION"),
            ),
            models.Index(fields=["standby", "standby_since"], name="sagas_standing_by", condition=~Q(standby="")),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.id}"


class Direction(models.TextChoices):
    FORWARD = "forward"
    COMPENSATING = "compensating"


class Result(models.TextChoices):
    DONE = "DONE"
    REFUSED = "REFUSED"
    RETRY = "RETRY"
    UNKNOWN = "UNKNOWN"
    UNAVAILABLE = "UNAVAILABLE"  # nobody was there to be asked: no attempt is spent
    STANDBY = "STANDBY"  # for so long it stood by, for a breaker or a pause
    PARKED = "PARKED"
    EXPIRED = "EXPIRED"
    STOPPED = "STOPPED"
    RETURNED = "RETURNED"  # what was done since a wait is undone, and it waits there anew
    RETRIED = "RETRIED"  # this and what follows: a person's decision, with `actor` and `reason`
    RESOLVED = "RESOLVED"
    IGNORED = "IGNORED"


class SagaHistory(models.Model):
    """One finished attempt at a step, or one event in a saga's life. Append-only.

    `actor` and `reason` are set where a person decided; the reason is for the staff's eyes, `message` for everybody's.
    """

    id = models.BigAutoField(primary_key=True)
    # No constraint: each entry would look its saga up, whose row whoever writes history has locked.
    saga = models.ForeignKey(
        SagaInstance, on_delete=models.CASCADE, related_name="history", db_index=False, db_constraint=False
    )
    step = models.CharField(max_length=60)
    direction = models.CharField(max_length=12, choices=Direction)
    status = models.CharField(max_length=12, choices=Result)
    attempt = models.PositiveSmallIntegerField()
    message = models.TextField(blank=True)
    error = models.TextField(blank=True, help_text="the traceback of something unforeseen")
    actor = models.CharField(max_length=150, blank=True, db_default="", help_text="the person who decided")
    reason = models.TextField(blank=True, db_default="", help_text="why they decided so")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    duration_ms = models.PositiveBigIntegerField()

    class Meta:
        verbose_name_plural = "saga history"
        indexes: ClassVar = [models.Index(fields=["saga", "id"], name="sagas_history_of_saga")]

    def __str__(self) -> str:
        return f"{self.step} {self.direction} {self.status}"


class SagaSignal(models.Model):
    """Something that happened to a saga from outside: a click, a webhook, a scan. Stored once per `signal_id`."""

    id = models.BigAutoField(primary_key=True)
    saga = models.ForeignKey(SagaInstance, on_delete=models.CASCADE, related_name="signals", db_index=False)
    name = models.CharField(max_length=60)
    signal_id = models.CharField(max_length=255)
    payload = models.JSONField(default=dict)
    received_at = models.DateTimeField()
    consumed_at = models.DateTimeField(null=True)
    disposition = models.CharField(max_length=20, blank=True, help_text="what became of it")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["saga", "name", "signal_id"], name="sagas_signal_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} for {self.saga_id}"


class Circuit(models.Model):
    """The breaker before one place outside, such as a gateway: the one truth of all workers. Written by `circuits`.

    A name that has no row is closed and has never failed.
    """

    class State(models.TextChoices):
        CLOSED = "CLOSED"  # calls pass
        OPEN = "OPEN"  # calls stand by, until `probe_at`
        HALF_OPEN = "HALF_OPEN"  # one call is on its way to find out

    name = models.CharField(primary_key=True, max_length=60)
    state = models.CharField(max_length=10, choices=State, default=State.CLOSED)
    failures = models.PositiveIntegerField(default=0, help_text="one after the other, without an answer in between")
    first_failed_at = models.DateTimeField(null=True)
    trips = models.PositiveIntegerField(default=0, help_text="how many times in a row it was found still down")
    opened_at = models.DateTimeField(null=True, help_text="since when calls stand by; kept while it is probed")
    why = models.TextField(blank=True, help_text="what the last failure said")
    probe_at = models.DateTimeField(null=True, help_text="from when on one call may try")
    probe_saga = models.UUIDField(null=True, help_text="whose call that is, by its fencing token")
    probe_fence = models.BigIntegerField(null=True)
    probe_until = models.DateTimeField(null=True, help_text="if nothing was heard of it by then, another may try")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="sagas_circuit_open_is_probed",
                condition=Q(state="CLOSED")
                | Q(state="OPEN", opened_at__isnull=False, probe_at__isnull=False)
                | Q(state="HALF_OPEN", opened_at__isnull=False, probe_saga__isnull=False, probe_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.state}"


class Pause(models.Model):
    """Somebody has told a definition, a step of one, or a queue to stand still. Kept when it is over. See `pausing`."""

    id = models.BigAutoField(primary_key=True)
    what = models.CharField(max_length=130, help_text="<definition>, <definition>/<step>, or queue:<queue>")
    paused_at = models.DateTimeField()
    paused_by = models.CharField(max_length=150)
    reason = models.TextField()
    resumed_at = models.DateTimeField(null=True)
    resumed_by = models.CharField(max_length=150, blank=True, db_default="")
    resumed_because = models.TextField(blank=True, db_default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["what"], name="sagas_paused_once_at_a_time", condition=Q(resumed_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return self.what


class ArchivedSaga(models.Model):
    """A finished saga that was moved out of the hot tables: its row, its history and its signals, as JSON in one row.

    What is asked for across many of them has columns of its own. Written and read by `archive`.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    name = models.CharField(max_length=60)
    version = models.PositiveSmallIntegerField()
    subject_id = models.UUIDField()
    status = models.CharField(max_length=16)
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField()
    archived_at = models.DateTimeField(db_default=Now())
    row = models.JSONField()
    history = models.JSONField()
    signals = models.JSONField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["subject_id", "name"], name="sagas_archived_of_subject")]

    def __str__(self) -> str:
        return f"{self.name} {self.id} (archived)"
