"""How far an order is: the four stages of the tracker, and the receipt that is printed as the saga moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from marketplace.sagas.selectors import Entry
from marketplace.storefront.presentation import steps
from orders.selectors import SagaStory

STAGES: Final = (
    ("reserved", _("Reserved"), ("validate_inventory", "reserve_inventory")),
    ("payment", _("Payment"), ("payment_request", "authorize_payment", "payment_outcome", "look_up_payment")),
    ("fraud_check", _("Fraud check"), ("check_fraud", "fraud_review")),
    ("confirmed", _("Confirmed"), ("capture_payment", "confirm_order")),
)
# What `reverse_order` does to a stage that was done, in the order of its doing: by the stage's key.
WAYS_BACK: Final[Mapping[str, tuple[str, ...]]] = {
    "reserved": ("restock_inventory",),
    "payment": ("refund_payment",),
    "confirmed": ("shipment_stopped", "close_order"),
}
_ON_THE_WAY_BACK: Final = frozenset(step for steps in WAYS_BACK.values() for step in steps)
_SAID: Final = {
    "waiting": _("not yet"),
    "active": _("happening now"),
    "paused": _("waiting for you"),
    "done": _("done"),
    "refused": _("did not work"),
    "undoing": _("being undone"),
    "undone": _("undone"),
    "parked": _("a person is looking at it"),
}
LIVE: Final = frozenset(
    {"STARTED", "WAITING", "STANDING_BY"}
)  # of the history's last line: what is going on at this moment
_MARKS: Final = {"DONE": "done", "REFUSED": "refused", "EXPIRED": "refused", "STOPPED": "refused", "PARKED": "parked"}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the tracker; `state` is for the style sheet, `said` for people who can't see it."""

    key: str
    label: str
    state: str
    said: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the receipt. `at` is empty for what is happening now; `mark` is for the style sheet."""

    step: str
    direction: str
    status: str
    attempt: int
    mark: str
    text: str
    note: str
    at: datetime | None


def _undoing(story: SagaStory) -> bool:
    parked_on_the_way_back = story.status == "NEEDS_ATTENTION" and bool(
        story.history and story.history[-1].direction == "compensating"
    )
    return story.status == "COMPENSATING" or parked_on_the_way_back


def _since_return(history: Sequence[Entry], names: Sequence[str]) -> Sequence[Entry]:
    """What happened since the saga last came back to one of these steps, from where it is all to do again."""
    returns = [at for at, entry in enumerate(history, 1) if entry.status == "RETURNED" and entry.step in names]
    return history[returns[-1] :] if returns else history


def _state(names: Sequence[str], story: SagaStory, *, finished: bool, awaits_payment: bool) -> str:
    undoing = _undoing(story)
    past = [line for line in _since_return(story.history, names) if line.step in names and line.status not in LIVE]
    forward = [line for line in past if line.direction == "forward"]
    here = story.current_step in names and not finished
    if here and story.status == "NEEDS_ATTENTION":
        return "parked"
    if here and undoing:
        return "undoing"
    if forward and forward[-1].status != "DONE" and (finished or undoing):
        return "refused"
    if any(line.direction == "compensating" and line.status == "DONE" for line in past):
        return "undone"
    if here:
        return "paused" if awaits_payment else "active"
    return "done" if forward else "waiting"


def _taken_back(way: Sequence[str], story: SagaStory) -> str:
    """The state of a stage whose way back is `way`, of an order that is taken back; empty where that is not so."""
    if any(line.step == way[-1] and line.status == "DONE" for line in story.history if way):
        return "undone"
    if story.current_step not in way:
        return ""
    return "parked" if story.status == "NEEDS_ATTENTION" else "undoing"


def tracker(story: SagaStory, *, confirmed: bool, finished: bool, awaits_payment: bool) -> tuple[Stage, ...]:
    """Return the four stages.

    `confirmed`: the order got there; `finished`: nothing more will happen to it; `awaits_payment`: it is the buyer's
    turn.
    """
    stages = []
    for key, label, names in STAGES:
        state = _taken_back(WAYS_BACK.get(key, ()), story)
        if not state:
            state = "done" if confirmed else _state(names, story, finished=finished, awaits_payment=awaits_payment)
        seen_to = any(line.step == "fraud_review" for line in story.history) or story.current_step == "fraud_review"
        accuses = key == "fraud_check" and (state == "refused" or seen_to)  # which nobody is to read
        said = gettext("Routine check") if accuses else gettext(label)
        stages.append(Stage(key, said, state, gettext(_SAID[state])))
    return tuple(stages)


def _line(entry: Entry) -> Line:
    undoing = entry.direction == "compensating"
    mark = "undone" if entry.status == "RETURNED" else _MARKS.get(entry.status, "again")
    if mark == "done" and (undoing or entry.step in _ON_THE_WAY_BACK):
        mark = "undone"
    return Line(
        step=entry.step,
        direction=entry.direction,
        status=entry.status,
        attempt=entry.attempt,
        mark=mark,
        text=steps.has_been(entry.step, status=entry.status, undoing=undoing),
        note=gettext("try %(number)s") % {"number": entry.attempt} if entry.attempt > 1 or mark == "again" else "",
        at=entry.timestamp,
    )


def tried_before(story: SagaStory) -> bool:
    """Whether the step that the saga is at has been attempted already, and comes again."""
    lately = _since_return(story.history, ("payment_request",))
    here = (e for e in lately if e.step == story.current_step and e.direction == "forward")
    return any(entry.status not in {*LIVE, "STANDBY", "UNAVAILABLE"} for entry in here)


def stands_by(story: SagaStory) -> bool:
    """Whether it waits, through no fault of its own, until somebody can be reached."""
    return bool(story.history) and story.history[-1].status == "STANDING_BY"


def receipt(story: SagaStory, *, finished: bool, awaits_payment: bool) -> tuple[Line, ...]:
    """Return a line for each attempt on record, and one for what is happening now unless it is `finished`."""
    lines = tuple(_line(entry) for entry in story.history if entry.status not in LIVE)
    if finished or not story.current_step:
        return lines
    undoing = _undoing(story)
    direction = "compensating" if undoing else "forward"
    if story.status == "NEEDS_ATTENTION":
        now = Line(
            story.current_step, direction, "PARKED", 0, "parked", gettext("A person is looking at this"), "", None
        )
    elif awaits_payment:
        now = Line(story.current_step, direction, "WAITING", 0, "paused", gettext("Waiting for you to pay"), "", None)
    elif stands_by(story):
        text = gettext("We can’t go on just now; we will, by ourselves")
        now = Line(story.current_step, direction, "STANDING_BY", 0, "paused", text, "", None)
    else:
        # When the wait for the buyer is over but not yet left, the bank is what comes next.
        step = "authorize_payment" if story.current_step == "payment_request" and not undoing else story.current_step
        text = steps.now_doing(step, undoing=undoing, again=tried_before(story))
        now = Line(step, direction, "STARTED", 0, "active", text, "", None)
    return (*lines, now)
