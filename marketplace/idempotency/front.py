"""Redis in front: who is at work right now, and what was answered within the last day.

Only ever a shortcut. Whatever is lost, stale or wrongly deleted here, PostgreSQL's unique row still lets one request
through; so nothing here needs to be atomic beyond one command.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
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
    """What Redis says of one key."""

    front: Front
    record: Record | None = None


def claim(digests: Sequence[bytes]) -> dict[bytes, Look]:
    """Raise the flag of each key unless there is one, or an answer, already. One round trip, or two where there is."""
    looks = redis.available(lambda client: _claim(client, digests), default=None)
    return dict.fromkeys(digests, Look(Front.DOWN)) if looks is None else looks


def _claim(client: Any, digests: Sequence[bytes]) -> dict[bytes, Look]:
    with client.pipeline(transaction=False) as pipeline:
        for digest in digests:
            pipeline.set(_name(digest), _AT_WORK, nx=True, ex=FLAG_SECONDS)
        raised = pipeline.execute()
    looks = {digest: Look(Front.MINE) for digest in digests}
    if theirs := [digest for digest, ours in zip(digests, raised, strict=True) if not ours]:
        values = client.mget([_name(digest) for digest in theirs])
        looks.update((digest, _look(value)) for digest, value in zip(theirs, values, strict=True))
    return looks


def _look(value: str | None) -> Look:
    if value is None or value == _AT_WORK:  # None: it was lowered between the two commands
        return Look(Front.TAKEN)
    return Look(Front.FINISHED, Record.from_text(value))


def keep(records: Mapping[bytes, Record]) -> None:
    """Put the answers in their flags' places. To be called after the commit."""
    _with_each(
        records, lambda pipeline, digest: pipeline.set(_name(digest), records[digest].to_text(), ex=KEPT_SECONDS)
    )


def lower(digests: Collection[bytes]) -> None:
    """Take the flags away: the work came to nothing, and whoever asks again may try."""
    _with_each(digests, lambda pipeline, digest: pipeline.delete(_name(digest)))


def _with_each(digests: Collection[bytes], send: Callable[[Any, bytes], None]) -> None:
    """Send a command for each of `digests`, all in one round trip; their answers don't matter."""

    def use(client: Any) -> None:
        with client.pipeline(transaction=False) as pipeline:
            for digest in digests:
                send(pipeline, digest)
            pipeline.execute()

    if digests:
        redis.available(use, default=None)


def _name(digest: bytes) -> str:
    return f"idempotency:{digest.hex()}"
