"""Redis in front: who is at work right now, and what was answered within the last day.

Only ever a shortcut. Whatever is lost, stale or wrongly deleted here, PostgreSQL's unique row still lets one request
through; so nothing here needs to be atomic beyond one command.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from marketplace.idempotency.records import Record
from marketplace.kernel import redis

FLAG_SECONDS: Final = 5  # a process that dies at work is in the way for so long
KEPT_SECONDS: Final = 24 * 3600
_AT_WORK: Final = "at work"


class Front(Enum):
    """What Redis says of a key."""

    MINE = "nobody was at work; now we are, and the flag says so"
    TAKEN = "another request is at work"
    FINISHED = "here is the answer"
    DOWN = "nothing; it does not answer"


@dataclass(frozen=True, slots=True)
class Look:
    """One look, in one round trip."""

    front: Front
    record: Record | None = None


def claim(digest: bytes) -> Look:
    """Raise the flag unless there is one, or an answer, already."""
    name = _name(digest)

    def ask(client: Any) -> tuple[bool, str | None]:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.set(name, _AT_WORK, nx=True, ex=FLAG_SECONDS)
            pipeline.get(name)
            raised, value = pipeline.execute()
            return bool(raised), value

    answer = redis.available(ask, default=None)
    if answer is None:
        return Look(Front.DOWN)
    raised, value = answer
    if raised:
        return Look(Front.MINE)
    if value is None or value == _AT_WORK:  # None: it was lowered between the two commands
        return Look(Front.TAKEN)
    return Look(Front.FINISHED, Record.from_text(value))


def keep(digest: bytes, record: Record) -> None:
    """Put the answer in the flag's place. To be called after the commit."""
    redis.available(lambda client: client.set(_name(digest), record.to_text(), ex=KEPT_SECONDS), default=None)


def lower(digest: bytes) -> None:
    """Take the flag away: the work came to nothing, and whoever asks again may try."""
    redis.available(lambda client: client.delete(_name(digest)), default=None)


def _name(digest: bytes) -> str:
    return f"idempotency:{digest.hex()}"
