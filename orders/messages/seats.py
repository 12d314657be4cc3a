"""How many workers send mails at a time: MAIL_SENDERS. The others are left to what orders wait for.

A mail server may take its time, and a worker that waits for it does nothing else. The seats are kept in Redis; without
it everybody may send, which is right too, because mails are claimed in PostgreSQL.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings

from marketplace.kernel import redis
from marketplace.kernel.ids import new_id

KEPT_SECONDS: Final = 60  # a seat whose worker has died is free again after this
_STAY: Final = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('expire', KEYS[1], ARGV[2]) else return 0 end
"""
_LEAVE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"


class Seat:
    """One worker's seat; `name` is empty where there was none."""

    def __init__(self, name: str, owner: str) -> None:
        self._name, self._owner = name, owner

    def keep(self) -> bool:
        """Stay for another `KEPT_SECONDS`; False without a seat, or where somebody else has taken it since."""

        def stay(client: Any) -> bool:
            return bool(client.eval(_STAY, 1, self._name, self._owner, KEPT_SECONDS))

        return bool(self._name) and redis.available(stay, True)

    def leave(self) -> None:
        """Let somebody else have it."""
        if self._name:
            redis.available(lambda client: client.eval(_LEAVE, 1, self._name, self._owner), None)


@contextmanager
def take() -> Iterator[Seat]:
    """Take a free seat for the length of a block; there may be none."""
    owner = str(new_id())
    names = [f"orders:messages:seat:{number}" for number in range(settings.MAIL_SENDERS)]

    def sit(client: Any) -> str:
        return next((name for name in names if client.set(name, owner, nx=True, ex=KEPT_SECONDS)), "")

    seat = Seat(redis.available(sit, names[0]), owner)
    try:
        yield seat
    finally:
        seat.leave()
