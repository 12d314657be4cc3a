"""Group commit for threads: whoever comes while a group is on its way goes with the next one.

A database does the same with commits that wait for its disk. There is no timer and no thread of its own: a caller that
finds nobody on the way leads a group of one at once, without a hand-over; under load, what has arrived meanwhile shares
one transaction. The lead passes on after each group, so nobody works for the others for long, and nothing has to be
started, stopped, or watched over: a group lives and dies with the threads whose requests are in it.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

MOST_TOGETHER: Final = 64  # what one group takes along: a bound for its transaction and for whoever waits for it

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Gathering(Generic[Item, Answer]):
    """Settles items in groups, one group at a time. Thread-safe.

    `settle` gets one item or more and answers each, in their order; it runs on the thread of one of the callers. What
    it raises for a single item is raised to its caller. When it raises for several, it must have changed nothing: the
    group is taken apart, and each caller settles its own item alone, so that each meets only its own fate.
    """

    def __init__(self, settle: Callable[[Sequence[Item]], Sequence[Answer]], *, most: int = MOST_TOGETHER) -> None:
        self._settle = settle
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[_Seat[Item, Answer]] = []
        self._on_the_way = False  # False only while nobody waits either

    def put(self, item: Item) -> Answer:
        """Return the answer to `item`, or raise what `settle` raised for it; waits for the group it goes with."""
        seat: _Seat[Item, Answer] = _Seat(item)
        with self._lock:
            if self._on_the_way:
                self._waiting.append(seat)
            else:
                self._on_the_way = seat.leads = True
        if not seat.leads:
            seat.wait()
        if seat.leads:
            self._lead(seat)
        if seat.alone:
            return self._settle([item])[0]
        return seat.answers[0]

    def _lead(self, leader: "_Seat[Item, Answer]") -> None:
        with self._lock:
            group = [leader, *self._waiting[: self._most - 1]]
            del self._waiting[: self._most - 1]
        try:
            answers = self._settle([seat.item for seat in group])
            for seat, answer in zip(group, answers, strict=True):
                seat.answers = (answer,)
        except Exception:
            if len(group) == 1:
                raise
            log.warning("group_taken_apart", size=len(group), exc_info=True)  # each is tried by itself, and answered
        finally:
            self._pass_on()
            for seat in group[1:]:
                seat.wake()

    def _pass_on(self) -> None:
        """Let the first of those who wait lead; it takes along whoever has come by the time it is at it."""
        with self._lock:
            following = self._waiting.pop(0) if self._waiting else None
            self._on_the_way = following is not None
        if following is not None:
            following.leads = True
            following.wake()


class _Seat(Generic[Item, Answer]):
    """One caller's place in a group."""

    __slots__ = ("_gate", "answers", "item", "leads")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.leads = False
        self.answers: tuple[Answer, ...] = ()  # the one answer, once there is one
        self._gate = threading.Lock()
        self._gate.acquire()

    @property
    def alone(self) -> bool:
        """Whether the group came to an end without an answer."""
        return not self.answers

    def wait(self) -> None:
        """Wait until this seat is answered, on its own, or told to lead."""
        self._gate.acquire()

    def wake(self) -> None:
        """End the wait."""
        self._gate.release()
