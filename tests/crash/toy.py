"""A saga with two faults to choose from, and none: what the crash matrix is tested with.

It charges a bank that is a file, and opens an account that is a row. The bank keeps what it was told whatever becomes
of whoever told it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.sagas.definition import Call, Saga, Step, remote
from marketplace.sagas.outcomes import Done, Outcome, Refused
from marketplace.sagas.services import Start, start
from marketplace.sagas.testing import Story
from marketplace.sagas.ticket import Ticket


def _told(ticket: Ticket) -> list[str]:
    books = Path(ticket.context["bank"])
    return books.read_text().split() if books.exists() else []


def _tell(ticket: Ticket, line: str) -> Outcome:
    with Path(ticket.context["bank"]).open("a") as books:
        books.write(f"{line}\n")
        books.flush()
        os.fsync(books.fileno())
    return Done()


def charge(ticket: Ticket) -> Outcome:
    """Charge once for each key, unless the bank forgets its keys."""
    forgetful = ticket.context["fault"] == "the bank forgets its keys"
    return Done() if ticket.key in _told(ticket) and not forgetful else _tell(ticket, ticket.key)


def pay_back(ticket: Ticket) -> Outcome:
    """Pay back what was charged, once, unless nobody looks whether that has been done."""
    careless = ticket.context["fault"] == "the undo pays back twice"
    charged = ticket.key_of("charge") in _told(ticket)
    return _tell(ticket, ticket.key) if charged and (careless or ticket.key not in _told(ticket)) else Done()


def refuse(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    return [Refused("no_account") for _ in tickets]


class OpenAccount(Saga):
    """Charge for an account that is then never opened."""

    name, version = "crash_toy", 1
    steps = (
        Call("charge", do=remote(charge), undo=remote(pay_back)),
        Step("open_account", do=refuse),
    )


class Account:
    """One of these sagas."""

    def __init__(self, saga_id, books: Path) -> None:
        self.saga_id = saga_id
        self.books = books

    def outcome(self):
        lines = [line for line in self.books.read_text().split() if line.startswith(str(self.saga_id))]
        story = Story.of(self.saga_id)
        return {  # of whoever was paid how often, and nothing of how the saga got there
            "charges": sum(not line.endswith(":undo") for line in lines),
            "paid back": sum(line.endswith(":undo") for line in lines),
            "status": story.saga.status,
            "steps undone": story.undone,
        }


@dataclass(frozen=True)
class ToyScenario:
    """Accounts at a bank with this fault."""

    fault: str
    books: Path
    definition: type[Saga] = OpenAccount
    story: tuple[str, ...] = ("charge", "open_account", "-charge", "-closing")

    @property
    def name(self) -> str:
        return self.fault or "no fault"

    def begin(self, nursery, count):
        context = {"bank": str(self.books), "fault": self.fault}
        starts = [Start(new_id(), context) for _ in range(count)]
        start(OpenAccount, starts, now=database_now())
        return [Account(one.id, self.books) for one in starts]
