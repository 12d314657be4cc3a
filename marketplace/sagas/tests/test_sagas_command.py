"""`manage.py sagas`: found by what is known of them, decided one by one or in bulk, checked before a deploy."""

import json
import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.sagas import attention, versions
from marketplace.sagas.models import Circuit, SagaHistory, SagaInstance, Status
from marketplace.sagas.outcomes import Parked, Refused
from marketplace.sagas.tests.driving import begin, begin_one, change, drive, history, saga
from marketplace.sagas.tests.trip import BookTrip, SendPostcard, run_sql, world

pytestmark = pytest.mark.django_db


def run(*arguments: Any) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("sagas", *map(str, arguments), stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def parked(step: str = "card", why: str = "Only a person knows.", *, times: int = 1) -> list[Any]:
    world.plan[step] = Parked(why)
    found = begin(times=times)
    drive()
    del world.plan[step]
    return found


def listed(*filters: Any) -> set[str]:
    code, text = run("list", "--json", *filters)
    assert code == 0
    return {one["id"] for one in json.loads(text)}


# --- list and show ----------------------------------------------------------------------------------------------------


def test_lists_what_fits_every_filter() -> None:
    [at_card], [at_hotel] = parked("card", "The bank says 50% is missing."), parked("hotel", "No room.")
    done = begin_one(SendPostcard)
    drive()
    change(at_hotel, updated_at=database_now() - timedelta(minutes=20))
    everything = {str(one) for one in (at_card, at_hotel, done)}
    assert listed() == everything
    assert listed("--status", "NEEDS_ATTENTION") == {str(at_card), str(at_hotel)}
    assert listed("--name", "send_postcard") == {str(done)}
    assert listed("--step", "hotel") == {str(at_hotel)}
    assert listed("--older-than", "15m") == {str(at_hotel)}
    assert listed("--older-than", "1h") == set()
    assert listed("--reason", "50% IS") == {str(at_card)}
    assert listed("--attention", "50%_is") == set()
    assert listed("--status", "NEEDS_ATTENTION", "--step", "card", "--reason", "room") == set()
    assert listed("--limit", "1") == {str(at_hotel)}  # the longest-standing first


def test_lists_in_words() -> None:
    [one] = parked()
    code, text = run("list")
    line, count = text.splitlines()
    assert (code, count) == (0, "1 saga.")
    assert line.startswith(f"{one}  book_trip 1  NEEDS_ATTENTION  card ")
    assert line.endswith("  Only a person knows.")


@pytest.mark.parametrize("bad", ["x", "-1", "", "s", "99999999d", "1w"])
def test_an_age_must_be_one(bad: str) -> None:
    with pytest.raises(CommandError, match="is no age"):
        run("list", f"--older-than={bad}")


def test_shows_the_story_with_who_and_why() -> None:
    [one] = parked()
    run("ignore", one, "--reason", "The bank knows.", "--actor", "ada")
    code, text = run("show", one)
    assert code == 0
    assert text.startswith(f"book_trip {one} about {saga(one).subject_id}\nNEEDS_ATTENTION at card, started ")
    assert "Why: Only a person knows.\n" in text
    assert [line.split()[1:4] for line in text.splitlines()[3:]] == [
        ["→", "seat", "DONE"], ["→", "hotel", "DONE"], ["→", "card", "PARKED"], ["→", "card", "IGNORED"],
    ]  # fmt: skip
    assert text.rstrip().endswith("ada: The bank knows.")
    story = json.loads(run("show", one, "--json")[1])
    assert (story["status"], story["history"][-1]["actor"]) == ("NEEDS_ATTENTION", "ada")
    remains = story["remains"]
    assert (remains["done"], remains["remaining"]) == (["seat", "approval", "hotel"], ["card", "ticket"])


def test_shows_when_it_is_tried_again_by_itself() -> None:
    [one] = parked()
    change(one, due_at=datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC))
    assert "\nUnless somebody decides, it is tried again at 2031-05-06 07:08:09 UTC.\n" in run("show", one)[1]
    assert json.loads(run("show", one, "--json")[1])["remains"]["redrive_at"].startswith("2031-05-06")


def test_there_must_be_such_a_saga() -> None:
    with pytest.raises(CommandError, match="There is no such saga"):
        run("show", new_id())


# --- decisions --------------------------------------------------------------------------------------------------------


def test_decides_about_one() -> None:
    [one] = parked()
    assert run("retry", one, "--reason", "The bank is back.") == (0, f"{one}  retry: IN_PROGRESS at card\n")
    drive()
    assert saga(one).status == Status.COMPLETED
    entry = SagaHistory.objects.get(saga_id=one, status="RETRIED")
    assert entry.reason == "The bank is back."
    assert entry.actor


@pytest.mark.parametrize("action", ["retry", "compensate", "resolve", "ignore"])
def test_nothing_is_decided_without_a_reason(action: str) -> None:
    [one] = parked()
    for reason in ([], ["--reason", "  "]):
        with pytest.raises(CommandError, match="Say why"):
            run(action, one, *reason)
    assert history(one)[-1] == "card PARKED"


def test_one_refusal_does_not_stop_the_others_and_is_told() -> None:
    first, second = parked(times=2)
    done = begin_one()
    drive()
    code, text = run("resolve", first, done, new_id(), second, first, "--reason", "Paid in cash.", "--json")
    results = [json.loads(line) for line in text.splitlines()]
    assert code == 1
    assert [one.get("error", one.get("step")) for one in results] == [
        "ticket", "saga_not_parked", "unknown_saga", "ticket",
    ]  # fmt: skip
    drive()
    assert {saga(one).status for one in (first, second)} == {"COMPLETED"}


def test_what_a_workspace_raises_concerns_that_saga_alone() -> None:
    first, second = parked(times=2)

    def fall_over(ticket: Any) -> None:
        if ticket.id == first:
            raise ZeroDivisionError("oops")

    world.plan["workspace:open"] = fall_over
    code, text = run("compensate", first, second, "--reason", "Enough.")
    assert code == 1
    assert f"{first}  refused  oops (ZeroDivisionError)\n" in text
    assert (saga(first).status, history(first)[-1]) == (Status.NEEDS_ATTENTION, "card PARKED")
    assert saga(second).status == Status.COMPENSATING


def test_all_means_all_that_fit_and_need_a_person() -> None:
    at_card, at_hotel = parked("card", times=3), parked("hotel", times=2)
    begin_one(needs_approval=True)
    drive()
    code, text = run("compensate", "--all", "--step", "card", "--reason", "Enough.", "--rate", "1000")
    assert (code, len(text.splitlines())) == (0, 3)
    drive()
    assert {saga(one).status for one in at_card} == {"COMPENSATED"}
    assert {saga(one).status for one in at_hotel} == {"NEEDS_ATTENTION"}
    assert SagaInstance.objects.filter(status="IN_PROGRESS").count() == 1


def test_a_bulk_keeps_to_its_rate() -> None:
    parked(times=4)
    begun = time.monotonic()
    assert run("retry", "--all", "--reason", "Go on.", "--rate", "10")[0] == 0
    assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "many", "10/h/s", "10/w", "-1/s"])
def test_a_rate_must_be_one(rate: str) -> None:
    with pytest.raises(CommandError, match="is no rate"):
        run("retry", "--all", "--reason", "Go on.", f"--rate={rate}")


def test_it_must_be_clear_which_ones_are_meant() -> None:
    [one] = parked()
    with pytest.raises(CommandError, match="Which ones"):
        run("retry", "--reason", "Go on.")
    for which in ([one, "--all"], [one, "--step", "card"]):
        with pytest.raises(CommandError, match="not both"):
            run("retry", *which, "--reason", "Go on.")
    assert saga(one).status == Status.NEEDS_ATTENTION


def test_a_dry_run_tells_the_undos_in_order_and_changes_nothing(monkeypatch: Any) -> None:
    [one] = parked()
    node = {node.name: node for node in BookTrip.steps}
    monkeypatch.setattr(
        node["hotel"].undo, "foresee", lambda tickets: ["Cancel the room." for _ in tickets], raising=False
    )
    monkeypatch.setattr(
        node["seat"].undo,
        "foresee",
        lambda tickets: [f"Give seat {ticket.context['seat']} back." for ticket in tickets],
        raising=False,
    )
    before = SagaInstance.objects.filter(pk=one).values().get()
    assert run("compensate", one, "--dry-run") == (
        0,
        f"{one}  would undo:\n"
        "  1. card (a call outside): what exactly, its undo does not tell\n"
        "  2. hotel (a call outside): Cancel the room.\n"
        "  3. seat: Give seat 12A back.\n",
    )
    assert SagaInstance.objects.filter(pk=one).values().get() == before
    done = begin_one()
    drive()
    assert run("compensate", done, "--dry-run")[0] == 1


def test_a_dry_run_tells_of_each_whatever_is_raised_for_one() -> None:
    bad, good = parked(times=2)
    world.plan["workspace:open"] = lambda ticket: 1 / 0 if ticket.id == bad else None
    code, text = run("compensate", bad, good, "--dry-run", "--json")
    first, second = (json.loads(line) for line in text.splitlines())
    assert (code, first["saga_id"], first["error"]) == (1, str(bad), "ZeroDivisionError")
    assert [undo["step"] for undo in second["undos"]] == ["card", "hotel", "seat"]


# --- many at once -----------------------------------------------------------------------------------------------------


def test_a_bulk_is_chosen_by_filters_limited_and_answered_one_by_one(monkeypatch: Any) -> None:
    fit, other = parked("card", "No money.", times=3), parked("hotel", "No room.")
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    arguments = ("--status", "NEEDS_ATTENTION", "--step", "card", "--attention", "money", "--rate", "120/m", "--yes")
    code, text = run("retry", *arguments, "--reason", "The bank is back.", "--json")
    results = [json.loads(line) for line in text.splitlines()]
    assert code == 0
    assert {one["saga_id"] for one in results} == {str(one) for one in fit}
    assert {one["status"] for one in results} == {"IN_PROGRESS"}
    assert pauses == [0.5, 0.5]
    assert saga(other[0]).status == Status.NEEDS_ATTENTION


def test_one_that_is_refused_is_told_and_the_others_go_on(monkeypatch: Any) -> None:
    one, two = parked(times=2)
    attention.retry(one, actor="eve", reason="Before you.", now=database_now())
    code, text = run("ignore", one, two, "--reason", "Known.", "--rate", "1000", "--json")
    first, second = (json.loads(line) for line in text.splitlines())
    assert (code, first["error"]) == (1, "saga_not_parked")
    assert second == {"saga_id": str(two), "status": "NEEDS_ATTENTION", "step": "card"}


def test_where_nobody_can_be_asked_a_bulk_needs_a_yes(monkeypatch: Any) -> None:
    [one] = parked()
    with pytest.raises(CommandError, match="say --yes"):
        run("retry", "--step", "card", "--reason", "Go on.")
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    with pytest.raises(CommandError, match="Nothing was done"):
        run("retry", "--step", "card", "--reason", "Go on.")
    assert saga(one).status == Status.NEEDS_ATTENTION
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run("retry", "--step", "card", "--reason", "Go on.")[0] == 0
    assert saga(one).status == Status.IN_PROGRESS


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


# --- pause, resume, archive -------------------------------------------------------------------------------------------


def test_pause_and_resume() -> None:
    code, text = run("pause", "book_trip/card", "--reason", "The bank is ill.", "--actor", "ada")
    assert (code, text) == (
        0,
        "book_trip/card is paused. Go on with: manage.py sagas resume book_trip/card --reason …\n",
    )
    trips = begin(times=2)
    drive()
    assert listed("--standby", "pause:book_trip/card") == {str(trip) for trip in trips}
    assert "Paused by a person: the step card of book_trip." in run("list")[1]
    assert "book_trip/card  paused since " in run("pause")[1]
    assert run("pause")[1].splitlines()[0].endswith(" by ada: The bank is ill.  2 standing by")
    [lasting] = json.loads(run("pause", "--json")[1])["pauses"]
    assert (lasting["what"], lasting["waiting"]) == ("book_trip/card", 2)
    code, text = run("resume", "book_trip/card", "--reason", "It is well.", "--json")
    assert (code, json.loads(text)["resumed_because"]) == (0, "It is well.")
    assert run("pause")[1] == "Nothing is paused.\n"
    for wrong in (
        ("pause", "nothing", "--reason", "x"),
        ("resume", "book_trip", "--reason", "x"),
        ("pause", "book_trip"),
    ):
        with pytest.raises(CommandError):
            run(*wrong)


def test_a_breaker_is_told_of_and_may_be_tried_now() -> None:
    later = database_now() + timedelta(hours=1)
    Circuit.objects.create(name="bank", state="OPEN", opened_at=later, probe_at=later, why="Nobody is there.")
    assert "circuit:bank  OPEN  0 standing by  Nobody is there." in run("pause")[1]
    assert run("resume", "circuit:bank") == (0, "The next call may try whether 'bank' answers.\n")
    probe_at = Circuit.objects.get().probe_at
    assert probe_at is not None
    assert probe_at <= database_now()
    with pytest.raises(CommandError, match="no breaker"):
        run("resume", "circuit:nowhere")


def test_archive() -> None:
    trips = begin(times=3)
    drive()
    long_ago = database_now() - timedelta(days=40)
    SagaInstance.objects.update(started_at=long_ago, completed_at=long_ago)
    assert run("archive", "--older-than", "50d") == (0, "0 sagas archived.\n")
    assert run("archive", "--older-than", "30d", "--limit", "1") == (0, "1 saga archived.\n")
    assert run("archive", "--older-than", "30d", "--json") == (0, '{"archived":2}\n')
    assert SagaInstance.objects.count() == 0
    assert run("show", trips[0])[1].startswith(f"book_trip {trips[0]} about ")
    with pytest.raises(CommandError, match="older-than"):
        run("archive")


# --- check ------------------------------------------------------------------------------------------------------------


def test_the_check_is_content_where_everything_can_go_on() -> None:
    begin_one(needs_approval=True)
    finished = begin_one()
    drive()
    change(finished, name="gone_since")  # a saga that is over needs no definition
    assert run("check") == (0, "Every saga under way can go on with this code.\n")
    assert run("check", "--json") == (0, "[]\n")


def test_the_check_lists_what_a_deploy_would_strand() -> None:
    gone, other_version, *changed = begin(needs_approval=True, times=5)
    drive()
    change(gone, name="gone_trip")
    change(other_version, version=2)
    steps = [node.name for node in BookTrip.steps]
    for one in changed[:2]:
        change(one, steps=[*steps[:2], "train", *steps[3:]])
    change(changed[2], steps=steps[::-1])
    code, text = run("check")
    assert code == 1
    example = min(str(one) for one in changed[:2])
    nowhere, advice = "there is no such definition here", "give the changed definition a new version"
    others = "of 'book_trip' version 1: its steps are others here"
    assert set(text.splitlines()) == {
        f"1 unfinished saga of 'gone_trip' version 1: {nowhere} (one of them: {gone})",
        f"1 unfinished saga of 'book_trip' version 2: {nowhere} (one of them: {other_version})",
        f"2 unfinished sagas {others} (gone: train; new: hotel); {advice} (one of them: {example})",
        f"1 unfinished saga {others} (in another order); {advice} (one of them: {changed[2]})",
    }
    assert [one["count"] for one in json.loads(run("check", "--json")[1])].count(2) == 1


def test_the_check_may_come_before_there_are_tables() -> None:
    begin_one(needs_approval=True)
    run_sql("ALTER TABLE sagas_sagainstance RENAME TO elsewhere")  # (rolled back with the test)
    assert run("check") == (0, "Every saga under way can go on with this code.\n")


def test_what_a_person_has_acknowledged_is_not_in_the_way() -> None:
    [one] = parked()
    change(one, name="gone_trip")
    assert run("check")[0] == 1
    run("ignore", one, "--reason", "It comes back next week.")
    assert run("check")[0] == 0


def test_the_definitions_of_every_app_are_known_to_the_check() -> None:
    versions.load_definitions()
    assert versions.find("place_order", 2) is not None
    world.plan["seat"] = Refused("no_seat")
    begin_one()
    drive()
    assert versions.stranded() == []
