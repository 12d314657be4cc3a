"""Where an order is, and why: what somebody who was woken up wants to read first, in whole sentences.

Pure: everything is given, nothing is looked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from inventory.selectors import HoldView
from marketplace.operations.wording import money, span, step, took, units
from marketplace.sagas import standby
from marketplace.sagas.models import TERMINAL, SagaInstance, Status
from payments.models import Payment

LATE_SECONDS: Final = 10.0  # due for so long and not taken: workers are busy, or not there


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`headline` says what is going on, `why` the reason, `next` what will happen by itself or has to be done.

    `level` is one of Unfold's colours: "success", "info", "warning", "danger", "default".
    """

    level: str
    headline: str
    why: str = ""
    next: str = ""


def of_saga(saga: SagaInstance | None, *, last_message: str, now: datetime) -> Diagnosis:
    """Say where a saga is; `last_message` is that of its last finished attempt."""
    if saga is None:
        return Diagnosis(
            "danger",
            "Nothing is going to move this order: it has no saga.",
            next="That should not be possible. Run manage.py audit, and look for whoever deleted rows by hand.",
        )
    if saga.status == Status.NEEDS_ATTENTION:
        return Diagnosis(
            "danger",
            f"Parked at {_doing(saga)}: a person has to decide.",
            saga.attention,
            "Nothing happens by itself any more. What was done so far is listed below, step by step.",
        )
    if saga.status in TERMINAL:
        return _ended(saga)
    return _under_way(saga, last_message, now)


def _under_way(saga: SagaInstance, last_message: str, now: datetime) -> Diagnosis:
    if saga.standby:
        return _standing_by(saga, now)
    if saga.in_flight:
        return _in_flight(saga, now)
    if saga.wait_until is not None:
        return _waiting(saga, now)
    return _due(saga, last_message, now)


def _doing(saga: SagaInstance) -> str:
    name = step(saga.current_step) or "closing"
    return f"undoing {name}" if saga.undoing else name


def _ended(saga: SagaInstance) -> Diagnosis:
    length = took((saga.completed_at - saga.started_at).total_seconds() * 1000) if saga.completed_at else "some time"
    if saga.status == Status.COMPLETED:
        return Diagnosis("success", f"Went through, in {length}.")
    cause = saga.cause or {}
    code, message = str(cause.get("code", "")), str(cause.get("message", ""))
    why = f"{code}: {message}" if message and message != code else code
    level = "default" if cause.get("kind") == "cancelled" else "danger"
    if saga.status == Status.COMPENSATED:
        steps = f"{saga.undone} step{'s' * (saga.undone != 1)}"
        return Diagnosis(level, f"Did not come about; {steps} undone, after {length}.", why)
    return Diagnosis(level, f"Did not come about, after {length}; there was nothing to undo.", why)


def _in_flight(saga: SagaInstance, now: datetime) -> Diagnosis:
    since = f", for {span(now - saga.step_started_at)}" if saga.step_started_at else ""
    headline = f"A call is under way: {_doing(saga)}, attempt {saga.attempt}{since}."
    if saga.due_at is not None and saga.due_at <= now:
        return Diagnosis(
            "warning",
            headline,
            f"The worker that made it has not come back: its lease ran out {span(now - saga.due_at)} ago.",
            f"The next free worker of queue “{saga.queue}” asks again, with the same key.",
        )
    return Diagnosis("info", headline, next="Its answer is written down as soon as it is there.")


def _standing_by(saga: SagaInstance, now: datetime) -> Diagnosis:
    since = f", for {span(now - saga.standby_since)}" if saga.standby_since else ""
    breaker = saga.standby.startswith("circuit:")
    return Diagnosis(
        "warning",
        f"Stands by before {_doing(saga)}{since}.",
        standby.in_words(saga.standby),
        "It goes on by itself once somebody answers there; until then it spends no attempts."
        if breaker
        else "It goes on once the pause is ended; nothing of it is lost.",
    )


def _waiting(saga: SagaInstance, now: datetime) -> Diagnosis:
    until = saga.wait_until or now
    if until <= now:
        return _due(saga, "the time to wait is over", now)
    if saga.current_step == "fraud_review":
        return Diagnosis(
            "warning",
            f"Waits for one of us to look at it, until {until:%Y-%m-%d %H:%M} UTC.",
            "The fraud check found something: see the review. The money is held, and not taken.",
            f"If nobody decides in {span(until - now)}, it is rejected by itself.",
        )
    return Diagnosis(
        "info",
        f"Waiting for {step(saga.current_step)}, until {until:%H:%M:%S} UTC.",
        "It depends on somebody outside, such as the buyer.",
        f"If nothing comes in {span(until - now)}, what was done is undone.",
    )


def _due(saga: SagaInstance, last_message: str, now: datetime) -> Diagnosis:
    due_at = saga.due_at or now
    why = f"Last: {last_message}" if last_message else ""
    if due_at > now:
        return Diagnosis(
            "warning" if saga.undoing else "info",
            f"Will try {_doing(saga)} again in {span(due_at - now)} (attempt {saga.attempt + 1}).",
            why,
        )
    late = (now - due_at).total_seconds()
    headline = f"Next: {_doing(saga)}, due for {span(late)}."
    if late > LATE_SECONDS:
        return Diagnosis(
            "warning",
            headline,
            why,
            f"No worker has taken it. Is one running for queue “{saga.queue}”, and is beat?",
        )
    return Diagnosis("info", headline, why, f"A worker of queue “{saga.queue}” takes it in a moment.")


def of_money(payments: Sequence[Payment], *, unanswered: bool) -> Diagnosis:
    """Say whether money moved; `unanswered`: the last call to the gateway has had no answer yet."""
    if not payments:
        return Diagnosis("default", "No money was asked for.")
    last = payments[-1]
    amount = money(last.amount_minor, last.currency)
    kept = money(last.captured_minor - last.refunded_minor - last.reversed_minor, last.currency)
    if last.status == "PENDING" and last.gateway_reference:
        who = "The buyer is asked to confirm there." if last.action_url else "It tells us by webhook."
        return Diagnosis("info", f"{amount}: the bank has not decided yet.", who)
    if unanswered:
        return Diagnosis(
            "warning", f"{amount}: the gateway's last answer is not known.", f"Our books say {last.status}."
        )
    if last.reversed_minor and last.status == "FAILED":
        return Diagnosis(
            "danger", f"{money(last.reversed_minor, last.currency)} taken back by the bank.", last.failure_code
        )
    if last.dispute == "OPEN":
        return Diagnosis("warning", f"{kept} taken, and disputed by the buyer at the bank.")
    said = {
        "PENDING": Diagnosis("info", f"{amount} not asked for yet."),
        "AUTHORIZED": Diagnosis("info", f"{amount} authorized: held, not taken."),
        "CAPTURED": Diagnosis("success", f"{kept} taken."),
        "PARTIALLY_REFUNDED": Diagnosis("warning", f"{kept} kept; the rest was given back."),
        "REFUNDED": Diagnosis("default", f"{money(last.refunded_minor, last.currency)} given back, nothing kept."),
        "VOIDED": Diagnosis("default", f"{amount} let go: nothing was taken."),
        "FAILED": Diagnosis("default", "Refused: nothing was taken.", last.failure_code),
    }
    return said.get(last.status, Diagnosis("default", last.status))


def of_units(holds: Sequence[HoldView], *, now: datetime) -> Diagnosis:
    """Say where the units are."""
    if not holds:
        return Diagnosis("default", "No units were held.")
    count, state = units(sum(hold.quantity for hold in holds)), holds[0].state
    if state == "COMMITTED":
        return Diagnosis("success", f"{count} sold.")
    if state == "HELD":
        until = max(hold.expires_at for hold in holds)
        if until <= now:
            return Diagnosis("warning", f"{count} held, {span(now - until)} beyond their time.")
        return Diagnosis("info", f"{count} held for another {span(until - now)}.")
    return Diagnosis("default", f"{count} back on the shelf{' (time was up)' * (state == 'EXPIRED')}.")


def of_events(*, told: int, waiting: int) -> Diagnosis:
    """Say whether the world knows."""
    if waiting:
        return Diagnosis("warning", f"{waiting} of {told} events not published yet.", next="Is the relay running?")
    return Diagnosis("success" if told else "default", f"{told} events told and published.")
