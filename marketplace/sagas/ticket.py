"""What a handler is given of a saga."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

RETURNED: Final = "returned"  # the kind of a cause that leads back to a wait, and not to the end
ROUNDS: Final = "_rounds"  # in a saga's context: for each step that it has come back past, which time that is done now


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a saga is being undone: all of it, or (`RETURNED`, with the `step` that says so) back to a wait."""

    kind: str  # "failed": wanted and couldn't be had; "cancelled": somebody, or time, decided to stop; or RETURNED
    code: str
    message: str = ""
    data: dict[str, Any] | None = None
    step: str = ""

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `as_json` has written, be it that of a later version of this code, which knows more to say.

        While a new version is being deployed, or is taken back, the old one must not stumble over every such saga.
        """
        return cls(**{name: stored[name] for name in _IN_CAUSE if name in stored})

    def as_json(self) -> dict[str, Any]:
        known = {"kind": self.kind, "code": self.code, "message": self.message, "data": self.data or {}}
        return {**known, "step": self.step} if self.step else known


_IN_CAUSE: Final = tuple(field.name for field in fields(Cause))


@dataclass(frozen=True, slots=True)
class LateSignal:
    """A signal that came too late for its saga, as the definition's rule for it is given it (`Saga.late`).

    `status` is that of the saga now; `code` why it was undone, where it was.
    """

    saga_id: UUID
    subject_id: UUID
    name: str
    signal_id: str
    payload: dict[str, Any]
    received_at: datetime
    status: str
    code: str = ""


class Ticket:
    """One saga, as its handlers see it. What they change goes into their `Outcome`, or into `subject`.

    `context` is the saga's own memory (read it, answer `Done(data)` to add to it); `subject` is what the definition's
    workspace loaded for `subject_id`; `signal` is the payload that a `Wait` has just received; `cause` is set while
    the saga is being undone.
    """

    __slots__ = ("attempt", "cause", "context", "id", "signal", "step", "subject", "subject_id", "undoing")

    def __init__(self, *, id: UUID, subject_id: UUID, context: dict[str, Any], cause: Cause | None) -> None:
        self.id = id
        self.subject_id = subject_id
        self.context = context
        self.cause = cause
        self.step = ""
        self.attempt = 0  # 1 for the first time the step runs
        self.undoing = False
        self.subject: Any = None
        self.signal: dict[str, Any] | None = None

    def snapshot(self) -> Self:
        """The ticket as it is now, for whoever may go by it when its saga has gone on. Shares the subject."""
        as_now = copy(self)
        as_now.context = dict(self.context)
        return as_now

    @property
    def key(self) -> str:
        """The idempotency key of the step: the same for each of its attempts, another one for its undo.

        A step that is done anew, because the saga has gone back (`Back`), has new keys: to the old ones, whoever
        remembers them could only repeat the old answer.
        """
        key = self.key_of(self.step)
        return f"{key}:undo" if self.undoing else key

    def key_of(self, step: str) -> str:
        """The key under which `step` was, or may have been, done: all that its undo has to go by."""
        time = self.round_of(step)
        return f"{self.id}:{step}" if time == 1 else f"{self.id}:{step}:{time}"

    def round_of(self, step: str) -> int:
        """For which time `step` is, or was last, done: 1, and one more for each time the saga has gone back past it."""
        rounds = self.context.get(ROUNDS)
        time: int = rounds.get(step, 1) if rounds else 1
        return time

    def __repr__(self) -> str:
        return f"<Ticket {self.id} {'undo ' if self.undoing else ''}{self.step} attempt {self.attempt}>"
