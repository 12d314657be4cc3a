"""The crew: the threads that make the calls of one worker side by side, while it goes on claiming.

A pool of the standard library answers each call by a future, which is a lock, a condition and a list of whoever waits.
Of an order whose calls are answered at once, that is a good part of the work. Here a call that has landed is laid
beside the others, and the worker is woken once, when as many are there as it waits for.
"""

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar


class Sendable(Protocol):
    """A call: `send` makes it, in any thread, and answers what the other side has said."""

    def send(self) -> Any:
        """Make the call."""


Call = TypeVar("Call", bound=Sendable)


class Landed(NamedTuple, Generic[Call]):
    """A call that was made: what it answered, or what it raised."""

    call: Call
    reply: Any
    error: BaseException | None


_NOBODY: Final = 1 << 60  # more than ever land: nobody waits


class _Strip(Generic[Call]):
    """Where the calls land. Any thread may lay one down; one thread waits for them."""

    def __init__(self) -> None:
        self.landed: deque[Landed[Call]] = deque()
        self._wanted = _NOBODY
        self._bell = threading.Lock()

    def lay_down(self, landed: Landed[Call]) -> None:
        """Add one, and wake whoever waits for as many as there are now."""
        self.landed.append(landed)
        if len(self.landed) >= self._wanted and self._bell.locked():
            try:
                self._bell.release()
            except RuntimeError:  # another one that landed at this very moment has released it
                return

    def wait(self, count: int, seconds: float) -> bool:
        """Wait until `count` have landed, at most so long; whether they have.

        Whoever lands after the look finds out how many are wanted, because that is said before the look.
        """
        self._bell.acquire(blocking=False)
        self._wanted = count
        if len(self.landed) < count and seconds > 0:
            self._bell.acquire(timeout=seconds)
        self._wanted = _NOBODY
        return len(self.landed) >= count


class Crew(Generic[Call]):
    """At most `most` threads, started as they are needed; they end when nobody refers to the crew any more.

    `before`: a crew whose threads hang. What it has not begun is made by this one, and all that lands, lands here.
    """

    def __init__(self, most: int, *, before: "Crew[Call] | None" = None) -> None:
        self._most = most
        self._strip: _Strip[Call] = before._strip if before is not None else _Strip()
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way: set[Call] = set()
        weakref.finalize(self, _send_home, self._calls, self._threads)
        for call in before._not_begun() if before is not None else ():
            self.make(call)

    def make(self, call: Call) -> None:
        """Have `call` made, as soon as a thread is free.

        Raises `RuntimeError` where there is none and the system gives us none; then it is not made.
        """
        if len(self._threads) < min(self._most, len(self._under_way) + 1):
            self._start_another()
        self._under_way.add(call)
        self._calls.put(call)

    def wait(self, count: int, seconds: float) -> bool:
        """Wait until `count` calls have landed that were not collected yet, at most so long; whether they have."""
        return self._strip.wait(count, seconds)

    def collect(self) -> Sequence[Landed[Call]]:
        """Take what has landed by now."""
        taken = [self._strip.landed.popleft() for _ in range(len(self._strip.landed))]
        self._under_way.difference_update([landed.call for landed in taken])
        return taken

    def still_makes(self, call: Call) -> bool:
        """Whether a thread of this crew has `call` in hand, or will have; one not collected yet counts."""
        return call in self._under_way

    def disband(self) -> None:
        """Let the threads make what is left to be made, and wait for their end."""
        threads = list(self._threads)
        _send_home(self._calls, self._threads)
        for thread in threads:
            thread.join()

    def _start_another(self) -> None:
        # A thread that hangs must not keep the process from ending.
        thread = threading.Thread(target=_work, args=(self._calls, self._strip), name="saga-call", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there are too many in the system; those that are here already will do
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def _not_begun(self) -> list[Call]:
        calls: list[Call] = []
        try:
            while (call := self._calls.get_nowait()) is not None:
                calls.append(call)
        except Empty:
            return calls
        return calls


def _work(calls: "SimpleQueue[Call | None]", strip: _Strip[Call]) -> None:
    """What a thread does: one call after the other. It knows nothing of its crew, so the crew can be forgotten."""
    while (call := calls.get()) is not None:
        try:
            landed = Landed(call, call.send(), None)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the worker hears of it
            landed = Landed(call, None, error)
        strip.lay_down(landed)
        del call, landed  # whoever waits for the next one keeps nothing of the last


def _send_home(calls: "SimpleQueue[Call | None]", threads: list[threading.Thread]) -> None:
    for _ in threads:
        calls.put(None)
    threads.clear()
