"""Archiving: what moves, that it is found again, that nothing is in two places or none, and late signals."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from marketplace.kernel.clock import database_now
from marketplace.sagas import archive, selectors, tasks
from marketplace.sagas.errors import NoSuchSaga
from marketplace.sagas.models import ArchivedSaga, SagaHistory, SagaInstance, SagaSignal
from marketplace.sagas.outcomes import Parked, Refused
from marketplace.sagas.services import signal
from marketplace.sagas.tests.driving import begin, begin_one, change, committing, drive, history, saga
from marketplace.sagas.tests.trip import BookTrip, SendPostcard, run_sql, world

DAY = timedelta(days=1)


def ended(days: float, *, times: int = 1, **context: Any) -> list[UUID]:
    trips = begin(BookTrip, times=times, **context)
    drive()
    age = database_now() - days * DAY
    for trip in trips:
        change(trip, started_at=age - timedelta(minutes=1), completed_at=age)
    return trips


def where(saga_id: UUID) -> list[str]:
    places = []
    if SagaInstance.objects.filter(pk=saga_id).exists():
        places.append("hot")
    if ArchivedSaga.objects.filter(pk=saga_id).exists():
        places.append("archived")
    return places


@pytest.mark.django_db
class TestWhatMoves:
    def test_what_ended_before_then_and_nothing_else(self) -> None:
        [old], [young] = ended(31), ended(29)
        waiting = begin_one(SendPostcard)
        drive()
        world.plan["hotel"] = Parked("Only a person knows.")
        parked = begin_one()
        drive()
        for one in (waiting, parked):
            change(one, started_at=database_now() - 90 * DAY)
        assert archive.archive(older_than=30 * DAY) == 1
        assert [where(one) for one in (old, young, waiting, parked)] == [["archived"], ["hot"], ["hot"], ["hot"]]
        assert not SagaHistory.objects.filter(saga_id=old).exists()
        assert SagaHistory.objects.filter(saga_id=young).count() == 4

    def test_its_story_is_the_same(self) -> None:
        world.plan["card"] = Refused("no_funds", "There is no money.")
        [trip] = ended(31)
        assert signal(trip, "cancel", signal_id="1").accepted is False
        before = selectors.story(trip)
        assert before.cause_code == "no_funds"
        rows = (saga(trip), list(SagaHistory.objects.order_by("id")), list(SagaSignal.objects.order_by("id")))
        assert archive.archive(older_than=30 * DAY) == 1
        assert selectors.story(trip) == before
        assert selectors.statuses([trip, saga_subject(trip)], name="book_trip") == {
            saga_subject(trip): "COMPENSATED",
        }
        found = archive.row_of(trip)
        assert found is not None
        for field in SagaInstance._meta.concrete_fields:
            assert getattr(found, field.attname) == getattr(rows[0], field.attname), field.attname
        assert [h.message for h in archive.history_of(found)] == [h.message for h in rows[1]]
        assert [(g.name, g.disposition) for g in archive.signals_of(found)] == [("cancel", "TOO_LATE")]

    def test_batches_and_a_limit(self) -> None:
        trips = ended(31, times=7)
        assert archive.archive(older_than=30 * DAY, batch=2, limit=5) == 5
        assert archive.archive(older_than=30 * DAY, batch=2) == 2
        assert archive.archive(older_than=30 * DAY) == 0
        assert all(where(trip) == ["archived"] for trip in trips)

    def test_the_task_does_what_the_setting_says(self, settings: Any) -> None:
        [trip] = ended(31)
        settings.SAGA_ARCHIVE_AFTER_DAYS = 0
        assert tasks.archive_finished() == 0
        settings.SAGA_ARCHIVE_AFTER_DAYS = 60
        assert tasks.archive_finished() == 0
        settings.SAGA_ARCHIVE_AFTER_DAYS = 30
        assert tasks.archive_finished() == 1
        assert where(trip) == ["archived"]

    def test_the_view_of_every_saga_has_each_once(self) -> None:
        trips = [*ended(31, times=2), *ended(1)]
        archive.archive(older_than=30 * DAY)
        assert sorted(row[0] for row in run_sql("SELECT id FROM sagas_every")) == sorted(trips)

    def test_no_such_saga(self) -> None:
        with pytest.raises(NoSuchSaga):
            selectors.story(UUID(int=7))
        with pytest.raises(NoSuchSaga):
            signal(UUID(int=7), "cancel", signal_id="1")


def saga_subject(saga_id: UUID) -> UUID:
    row = archive.row_of(saga_id)
    assert row is not None
    return row.subject_id


@pytest.mark.django_db
class TestComingBack:
    def test_a_signal_for_an_archived_saga_is_answered_as_ever(self) -> None:
        [trip] = ended(31)
        before, lines = saga(trip), history(trip)
        archive.archive(older_than=30 * DAY)
        receipt = signal(trip, "cancel", signal_id="1", payload={"by": "eve"})
        assert (receipt.accepted, receipt.duplicate, receipt.status) == (False, False, "COMPLETED")
        assert signal(trip, "cancel", signal_id="1").duplicate
        assert where(trip) == ["hot"]
        assert history(trip) == lines
        row = saga(trip)
        for field in SagaInstance._meta.concrete_fields:
            assert getattr(row, field.attname) == getattr(before, field.attname), field.attname
        assert SagaSignal.objects.get().payload == {"by": "eve"}
        assert archive.archive(older_than=30 * DAY) == 1
        assert where(trip) == ["archived"]
        found = archive.row_of(trip)
        assert found is not None
        assert [g.name for g in archive.signals_of(found)] == ["cancel"]

    def test_columns_that_came_later_have_their_defaults(self) -> None:
        [trip] = ended(31)
        archive.archive(older_than=30 * DAY)
        run_sql(
            "UPDATE sagas_archivedsaga SET row = row - 'standby' - 'forgiven' - 'fence' - 'in_flight',"
            " history = (SELECT jsonb_agg(one - 'actor' - 'reason') FROM jsonb_array_elements(history) AS one)"
        )
        assert archive.row_of(trip) is not None
        assert archive.bring_back(trip)
        row = saga(trip)
        assert (row.standby, row.forgiven, row.in_flight) == ("", 0, False)
        assert set(SagaHistory.objects.values_list("actor", flat=True)) == {""}

    def test_new_history_gets_new_ids(self) -> None:
        [trip] = ended(31)
        archive.archive(older_than=30 * DAY)
        assert archive.bring_back(trip)
        begin_one()
        drive()
        assert SagaHistory.objects.count() == 8


@committing
def test_interrupted_in_the_middle_it_has_moved_whole_batches_and_goes_on_later(monkeypatch: Any) -> None:
    trips = ended(31, times=10)
    stories = {trip: selectors.story(trip) for trip in trips}
    move, calls = archive._move, []

    def dies_in_the_third_batch(*args: Any) -> int:
        count = move(*args)
        calls.append(count)
        if len(calls) == 3:
            raise KeyboardInterrupt  # after its statement, before its commit
        return count

    monkeypatch.setattr(archive, "_move", dies_in_the_third_batch)
    with pytest.raises(KeyboardInterrupt):
        archive.archive(older_than=30 * DAY, batch=3)
    monkeypatch.undo()
    places = [where(trip) for trip in trips]
    assert sorted(places) == [["archived"]] * 6 + [["hot"]] * 4
    assert {trip: selectors.story(trip) for trip in trips} == stories
    assert archive.archive(older_than=30 * DAY, batch=3) == 4
    assert [where(trip) for trip in trips] == [["archived"]] * 10
    assert {trip: selectors.story(trip) for trip in trips} == stories


@committing
def test_two_at_once_move_each_saga_once(beside: Any) -> None:
    trips = ended(31, times=40)
    moved = [one.result() for one in [beside(archive.archive, older_than=30 * DAY, batch=5) for _ in range(4)]]
    archive.archive(older_than=30 * DAY)
    assert sum(moved) <= 40
    assert [where(trip) for trip in trips] == [["archived"]] * 40
