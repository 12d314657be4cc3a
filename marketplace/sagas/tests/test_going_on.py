"""Waits that go on when their time has passed, calls that are passed by, and steps that are given from the start."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from marketplace.kernel.clock import database_now
from marketplace.sagas.definition import Call, Cancel, GoOn, Saga, Step, Wait
from marketplace.sagas.models import Status
from marketplace.sagas.outcomes import Done, Refused
from marketplace.sagas.services import signal
from marketplace.sagas.tests.driving import begin, begin_one, change, drive, history, make_due, saga
from marketplace.sagas.tests.trip import Provider, world

pytestmark = pytest.mark.django_db


def known(ticket: Any) -> bool:
    return bool(ticket.context.get("answer"))


class Letter(Saga):
    """Send a letter, wait for the answer, and go and ask where none comes."""

    name, version = "letter", 1
    steps = (
        Call("send", do=Provider("send"), undo=Provider("send:undo", undoes="send")),
        Wait(
            "answer",
            unless=known,
            receive=lambda tickets, now: [Done({"answer": "by post"}) for _ in tickets],
            until=lambda ticket: database_now() + timedelta(hours=1),
            otherwise=GoOn("Nobody wrote."),
        ),
        Call("ask", unless=known, do=Provider("ask")),
        Step("read", do=lambda tickets, now: [Done() for _ in tickets]),
    )


def let_the_time_pass(one: UUID) -> None:
    change(one, wait_until=database_now() - timedelta(seconds=1))
    make_due(one)


def test_a_wait_that_runs_out_leads_to_the_next_step() -> None:
    one = begin_one(Letter)
    drive()
    let_the_time_pass(one)
    drive()
    assert (history(one), saga(one).status) == (
        ["send DONE", "answer EXPIRED", "ask DONE", "read DONE"],
        Status.COMPLETED,
    )


def test_what_is_known_is_not_asked_for() -> None:
    one = begin_one(Letter)
    drive()
    signal(one, "answer", signal_id="1")
    drive()
    assert history(one) == ["send DONE", "answer DONE", "read DONE"]
    assert f"{one}:ask" not in world.booked


def test_in_a_group_each_goes_its_own_way() -> None:
    first, second = begin(Letter, times=2)
    change(first, context={"answer": "by heart"})
    drive()
    let_the_time_pass(second)
    drive()
    assert history(first) == ["send DONE", "read DONE"]
    assert history(second) == ["send DONE", "answer EXPIRED", "ask DONE", "read DONE"]


def test_past_the_pivot_too_it_goes_on() -> None:
    class Posted(Saga):
        name, version = "posted", 1
        steps = (
            Step("post", do=lambda tickets, now: [Done() for _ in tickets], pivot=True),
            Wait("thanks", until=lambda ticket: database_now(), otherwise=GoOn()),
        )

    one = begin_one(Posted)
    drive()
    assert (history(one), saga(one).status) == (["post DONE", "thanks EXPIRED"], Status.COMPLETED)


class Parcel(Saga):
    """A parcel is on the doorstep already: keep it, or send it back."""

    name, version = "parcel", 1
    steps = (
        Call("find", do=Provider("find"), undo=Provider("find:undo", undoes="find"), given=True),
        Step("keep", do=lambda tickets, now: [Done() for _ in tickets]),
    )
    stops = {"unwanted": Cancel("unwanted")}


def test_what_is_given_is_undone_also_when_the_saga_is_stopped_before_its_first_step() -> None:
    one = begin_one(Parcel)
    signal(one, "unwanted", signal_id="1")
    drive()
    assert (history(one), saga(one).status) == (["find STOPPED", "undo find DONE"], Status.COMPENSATED)


def test_and_when_its_step_is_refused() -> None:
    world.plan["find"] = Refused("not_mine")
    one = begin_one(Parcel)
    drive()
    assert (history(one), saga(one).status) == (["find REFUSED", "undo find DONE"], Status.COMPENSATED)
