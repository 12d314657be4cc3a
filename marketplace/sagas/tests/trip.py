"""A saga of another subject, to show that the engine knows none: booking a trip.

Seats and tickets are rows of ours (tables made by this package's conftest). The hotel and the bank are the world
outside: they live in `world`, which also lets a test say beforehand what a step shall answer, hold it up, or make it
raise, and keeps a log of everything that was asked of it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from marketplace.kernel.clock import database_now
from marketplace.sagas.definition import Call, Cancel, RetryPolicy, Saga, Step, Wait, Workspace
from marketplace.sagas.outcomes import Done, Outcome, Ready, Refused, Unknown, each
from marketplace.sagas.ticket import Ticket

TABLES = """
    CREATE TABLE IF NOT EXISTS trips_flight (flight text PRIMARY KEY, free int NOT NULL CHECK (free >= 0));
    CREATE TABLE IF NOT EXISTS trips_effect (
        id bigserial PRIMARY KEY, saga_id uuid NOT NULL, effect text NOT NULL, UNIQUE (saga_id, effect),
        server int NOT NULL DEFAULT pg_backend_pid());
    CREATE TABLE IF NOT EXISTS trips_event (id bigserial PRIMARY KEY, saga_id uuid NOT NULL, status text NOT NULL);
    CREATE TABLE IF NOT EXISTS trips_outside (
        key text PRIMARY KEY, state text NOT NULL, requests int NOT NULL DEFAULT 1);
    CREATE TABLE IF NOT EXISTS trips_log (what text NOT NULL, saga_id uuid NOT NULL, worker text NOT NULL);
"""
EMPTY = "TRUNCATE trips_flight, trips_effect, trips_event, trips_outside, trips_log"

PATIENCE_SECONDS = 90  # for what comes at once: on a machine that stands still for a while it takes longer

Plan = Outcome | None | Callable[[Ticket], Any]


class World:
    """What lies outside of our database, and the hand that steers it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.visitors = 0  # calls that are under way
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.plan: dict[str, Plan] = {}  # what a step answers: an outcome, or a function of its ticket
        self.log: list[tuple[str, UUID]] = []  # every time somebody came, in order
        self.booked: dict[str, str] = {}  # what the providers believe: key -> "booked" or "cancelled"

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Know that somebody is here, for the length of a block."""
        with self._lock:
            self.visitors += 1
        try:
            yield
        finally:
            with self._lock:
                self.visitors -= 1

    def act(self, what: str, ticket: Ticket) -> Any:
        """Note that `what` was asked for; return what the test has planned for it, if anything."""
        with self._lock:
            self.log.append((what, ticket.id))
        planned = self.plan.get(what)
        return planned(ticket) if callable(planned) else planned

    def book(self, key: str) -> None:
        """Book once, however often it is asked. A key that was cancelled stays cancelled."""
        with self._lock:
            self.booked.setdefault(key, "booked")

    def cancel(self, key: str) -> None:
        """Cancel by key alone; where nothing is booked, nothing will be."""
        with self._lock:
            self.booked[key] = "cancelled"

    def times(self, what: str, saga_id: UUID | None = None) -> int:
        """How often `what` was asked for."""
        with self._lock:
            return sum(1 for name, of in self.log if name == what and saga_id in (None, of))


world = World()


class Gate:
    """Whoever comes to it waits until it is opened. For interleavings that are told, not hoped for."""

    def __init__(self, answer: Any = None) -> None:
        self._answer = answer
        self._reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self, ticket: Any = None) -> Any:
        self._reached.set()
        if not self._opened.wait(PATIENCE_SECONDS):
            raise AssertionError("nobody opened the gate")
        return self._answer

    def await_visitor(self) -> None:
        if not self._reached.wait(PATIENCE_SECONDS):
            raise AssertionError("nobody came to the gate")

    def open(self) -> None:
        self._opened.set()


def run_sql(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement on Django's connection; return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def effect(ticket: Ticket, what: str) -> None:
    """Write an effect in our own database; a second time it violates a constraint."""
    run_sql("INSERT INTO trips_effect (saga_id, effect) VALUES (%s, %s)", [ticket.id, what])


# --- our own work -----------------------------------------------------------------------------------------------------


def take_seat(ticket: Ticket, *, now: datetime) -> Outcome:
    planned = world.act("seat", ticket)
    if planned is not None:
        return planned
    flight = ticket.context.get("flight")
    if flight:
        taken = run_sql(
            "UPDATE trips_flight SET free = free - 1 WHERE flight = %s AND free > 0 RETURNING free", [flight]
        )
        if not taken:
            return Refused("flight_full", "No seat is left.")
    effect(ticket, "seat")
    return Done({"seat": "12A"}, "A seat by the window.")


def give_seat_back(ticket: Ticket, *, now: datetime) -> Outcome:
    planned = world.act("seat:undo", ticket)
    if planned is not None:
        return planned
    taken = run_sql("SELECT 1 FROM trips_effect WHERE saga_id = %s AND effect = 'seat'", [ticket.id])
    if taken:
        run_sql("UPDATE trips_flight SET free = free + 1 WHERE flight = %s", [ticket.context.get("flight")])
        effect(ticket, "seat given back")
    return Done()


def issue_ticket(ticket: Ticket, *, now: datetime) -> Outcome:
    planned = world.act("ticket", ticket)
    if planned is not None:
        return planned
    effect(ticket, "ticket")
    return Done({"ticket": "issued"})


def close(ticket: Ticket, *, now: datetime) -> Outcome:
    planned = world.act("closing", ticket)
    if planned is not None:
        return planned
    effect(ticket, f"closed as {ticket.cause.code}" if ticket.cause else "closed")
    return Done()


# --- waiting ----------------------------------------------------------------------------------------------------------


def closing_time(ticket: Ticket) -> datetime:
    return database_now() + timedelta(seconds=ticket.context.get("approve_within", 3600))


def needs_no_approval(ticket: Ticket) -> bool:
    return not ticket.context.get("needs_approval")


def take_in_approval(ticket: Ticket, *, now: datetime) -> Outcome:
    planned = world.act("approval", ticket)
    return planned if planned is not None else Done({"approved_by": (ticket.signal or {}).get("by", "")})


# --- the world outside ------------------------------------------------------------------------------------------------


class Provider:
    """A call to somebody outside. `request` is the ticket itself, which a real one would not send."""

    def __init__(self, name: str, *, undoes: str = "") -> None:
        self.name = name
        self.undoes = undoes

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        planned = [world.act(f"{self.name}:prepare", ticket) for ticket in tickets]
        ready = [Ready((ticket, ticket.key)) for ticket in tickets]
        return [written if answer is None else answer for written, answer in zip(ready, planned, strict=True)]

    def send(self, request: tuple[Ticket, str]) -> Any:
        with world.visited():
            return self._send(*request)

    def _send(self, ticket: Ticket, key: str) -> Any:
        planned = world.act(self.name, ticket)
        if planned is not None:
            return planned
        if ticket.context.get(self.name) == "refuses":
            return Refused(f"{self.name}_refused", "Certainly not.")
        if self.undoes:
            world.cancel(ticket.key_of(self.undoes))
        else:
            world.book(key)
        return Done({self.name: key}, "With pleasure.")

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        planned = [world.act(f"{self.name}:record", ticket) for ticket in tickets]
        return [reply if answer is None else answer for reply, answer in zip(replies, planned, strict=True)]


class Agency(Workspace):
    """Keeps what the engine tells of a saga, in the transaction in which it happens."""

    def __init__(self) -> None:
        self._told: list[tuple[UUID, str]] = []

    def open(self, tickets: Sequence[Ticket], *, now: datetime) -> None:
        for ticket in tickets:
            world.act("workspace:open", ticket)
            ticket.subject = ticket.subject or {"traveller": str(ticket.subject_id)}

    def moved(self, ticket: Ticket, status: str, *, now: datetime) -> None:
        world.act("workspace:moved", ticket)
        self._told.append((ticket.id, status))

    def close(self, *, now: datetime) -> None:
        for saga_id, status in self._told:
            run_sql("INSERT INTO trips_event (saga_id, status) VALUES (%s, %s)", [saga_id, str(status)])


QUICKLY = RetryPolicy(attempts=3, delay=0)


class BookTrip(Saga):
    """The traveller has a seat, a room and a ticket, or nothing and has paid nothing."""

    name, version = "book_trip", 1
    workspace = Agency
    steps = (
        Step("seat", do=each(take_seat), undo=each(give_seat_back), retry=QUICKLY),
        Wait(
            "approval",
            until=closing_time,
            otherwise=Cancel("not_approved", "Nobody approved it in time."),
            unless=needs_no_approval,
            receive=each(take_in_approval),
        ),
        Call("hotel", do=Provider("hotel"), undo=Provider("hotel:undo", undoes="hotel"), retry=QUICKLY),
        Call("card", do=Provider("card"), undo=Provider("card:undo", undoes="card"), retry=QUICKLY),
        Step("ticket", do=each(issue_ticket), retry=QUICKLY),
    )
    stops = {"cancel": Cancel("cancelled", "The traveller stays at home.")}
    closing = staticmethod(each(close))


class SendPostcard(Saga):
    """Past the pivot there is no way back: a stamped card is never unstamped."""

    name, version = "send_postcard", 1
    workspace = Agency
    steps = (
        Step("write", do=each(lambda t, now: world.act("write", t) or Done()), undo=each(lambda t, now: Done())),
        Call("stamp", do=Provider("stamp"), pivot=True, retry=RetryPolicy(attempts=3, delay=0, spent="park")),
        Call("post", do=Provider("post"), retry=RetryPolicy(attempts=3, delay=0, spent="park")),
        Wait("arrival", until=closing_time, otherwise=Cancel("lost_in_the_mail", "It never arrived.")),
        Step("thank", do=each(lambda t, now: world.act("thank", t) or Done())),
    )
    stops = {"cancel": Cancel("cancelled")}
    closing = staticmethod(each(close))


class SplitTrip(Saga):
    """Three houses, each with its own workers."""

    name, version = "split_trip", 1
    workspace = Agency
    steps = (
        Step("seat", do=each(take_seat), undo=each(give_seat_back), queue="inventory"),
        Call("card", do=Provider("card"), undo=Provider("card:undo", undoes="card"), queue="payments", retry=QUICKLY),
        Step("ticket", do=each(issue_ticket)),
    )
    closing = staticmethod(each(close))


NOT_KNOWN = Unknown("The line went dead.")
