"""The tester itself: what it says comes true, and what is wrongly expected of it fails with words that help."""

import pytest

from marketplace.kernel.ids import new_id
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.outcomes import Refused, Retry
from marketplace.sagas.testing import given
from marketplace.sagas.tests.driving import begin_one
from marketplace.sagas.tests.trip import BookTrip, SendPostcard, SplitTrip, world

pytestmark = pytest.mark.django_db

ALL = ("seat", "hotel", "card", "ticket")


def trip(**context):
    return given(BookTrip, new_id(), **context)


# --- what it says comes true ------------------------------------------------------------------------------------------


def test_with_nothing_said_it_runs_as_it_is():
    trip().expect_completed().expect_done(*ALL).expect_undone().expect_context(seat="12A", ticket="issued")
    assert world.times("hotel") == 1


def test_a_saga_that_was_started_already_is_the_one_that_is_meant():
    saga_id = begin_one()
    subject = BookTripSubject(saga_id)

    sentence = given(BookTrip, subject)

    assert sentence.saga_id == saga_id
    sentence.expect_completed()
    with pytest.raises(ValueError, match="started already"):
        given(BookTrip, subject, flight="F1")


class BookTripSubject:
    """Whatever has an id."""

    def __init__(self, saga_id):
        self.id = SagaInstance.objects.get(pk=saga_id).subject_id


def test_a_refusal_undoes_what_was_done_and_the_refused_is_never_asked():
    trip().when("card", refuses="card_declined").expect_undone("hotel", "seat").expect_failure("card_declined")
    assert world.times("card") == 0
    assert set(world.booked.values()) == {"cancelled"}


def test_a_refusal_may_say_more():
    sentence = trip().when("seat", refuses=Refused("flight_full", "No seat is left.", {"row": 12}))
    sentence.expect_undone().expect_failure("flight_full").expect_done()
    assert sentence.story.saga.cause["data"] == {"row": 12}


def test_an_answer_takes_the_place_of_the_work():
    trip().when("seat", answers={"seat": "1C"}).expect_completed().expect_context(seat="1C")
    assert world.times("seat") == 0


def test_what_is_unknown_is_asked_again_until_it_is_known():
    trip().when("hotel", is_unknown="The line went dead.", times=2).expect_attempts("hotel", 3).expect_completed()
    assert world.times("hotel") == 1


def test_an_answer_that_is_lost_was_given():
    trip().when("hotel", loses_its_answer=True, times=1).expect_attempts("hotel", 2).expect_completed()
    assert world.times("hotel") == 2


def test_time_outs_are_retried_and_then_undone_together_with_what_may_have_happened():
    trip().when("hotel", times_out=True).expect_attempts("hotel", 3).expect_undone("hotel", "seat").expect_failure(
        "retries_spent"
    )


def test_a_pause_between_two_attempts_costs_no_time(settings):
    settings.SAGA_TIMEOUT_SECONDS = 1000
    given(SplitTrip, new_id()).when("ticket", retries="Printer jam.", times=2).expect_attempts(
        "ticket", 3
    ).expect_completed()


def test_retries_that_run_into_the_deadline_of_the_saga_end_it(settings, monkeypatch):
    """Time that is let pass counts."""
    settings.SAGA_TIMEOUT_SECONDS = 250
    monkeypatch.setattr("random.uniform", lambda low, high: 100.0)
    sentence = given(SplitTrip, new_id()).when("seat", retries="Nobody at the counter.")
    sentence.expect_parked("Nobody at the counter.").expect_attempts("seat", 3)


def test_something_unforeseen_parks_that_saga_alone():
    beside = begin_one()
    sentence = trip().when("ticket", raises=ZeroDivisionError("no paper"))
    sentence.expect_parked("ZeroDivisionError: no paper", at="ticket").expect_done("seat", "hotel", "card")
    given(BookTrip, BookTripSubject(beside)).expect_completed()


def test_what_a_call_raises_is_an_unknown():
    trip().when("card", raises=ConnectionError("reset"), times=1).expect_attempts("card", 2).expect_completed()


def test_a_step_may_park():
    trip().when("ticket", parks="Look at the passport.").expect_parked("passport", at="ticket")


def test_a_reply_of_the_other_side_is_recorded_by_the_call_itself():
    asked = []

    def no(request):
        asked.append(request)
        return Refused("full_house")

    trip().when("hotel", replies=no).expect_failure("full_house").expect_undone("seat")
    assert len(asked) == 1
    assert world.times("hotel:record") == 1


def test_an_undo_can_be_told_what_happens_too():
    sentence = trip().when("ticket", refuses="no_paper").when_undoing("card", parks="The till is shut.")
    sentence.expect_parked("Still to be undone: card, hotel, seat", at="-card").expect_undone()


def test_a_wait_hears_its_signal():
    sentence = trip(needs_approval=True).expect_waiting("approval").expect_done("seat")
    sentence.when("approval", hears={"by": "ada"}).expect_completed().expect_context(approved_by="ada")


def test_a_wait_runs_out():
    trip(needs_approval=True).when("approval", runs_out=True).expect_failure("not_approved").expect_undone("seat")


def test_a_signal_that_came_in_time_stays_in_time_when_time_passes():
    sentence = trip(needs_approval=True).when("approval", refuses="wrong_person").when_signalled("approval")
    sentence.expect_failure("wrong_person")


def test_a_stop_while_a_call_is_in_flight_undoes_that_call_too():
    sentence = trip().when_signalled("cancel", during="hotel")
    sentence.expect_done("seat", "hotel").expect_undone("hotel", "seat").expect_failure("cancelled")


def test_a_stop_before_anything_and_one_while_it_waits():
    trip().when_signalled("cancel").expect_done().expect_failure("cancelled").expect_status("FAILED")
    waiting = trip(needs_approval=True).when_signalled("cancel", during="approval")
    waiting.expect_undone("seat").expect_status("COMPENSATED")


def test_a_person_decides_and_the_story_goes_on():
    sentence = trip().when("ticket", raises=ZeroDivisionError("no paper"), times=1).expect_parked()
    sentence.when_decided("retry").expect_completed().expect_done(*ALL)


def test_what_a_person_has_done_by_hand_counts_as_done():
    given(SendPostcard, new_id()).when("stamp", parks="Sold out.").when_decided("resolve").expect_waiting(
        "arrival"
    ).expect_done("write", "stamp", "post").expect_attempts("stamp", 1)


def test_others_meet_the_definition_as_it_is_and_so_does_everybody_afterwards():
    steps = BookTrip.steps
    beside = begin_one()
    trip().when("seat", refuses="flight_full").expect_failure("flight_full")
    assert BookTrip.steps is steps
    given(BookTrip, BookTripSubject(beside)).expect_completed()


# --- what is wrongly expected -----------------------------------------------------------------------------------------


def failed(expectation, *arguments, **named):
    with pytest.raises(AssertionError) as caught:
        expectation(*arguments, **named)
    return str(caught.value)


def test_a_wrong_expectation_says_what_was_expected_what_was_found_and_the_whole_story():
    sentence = trip().when("card", refuses=Refused("card_declined", "No money."))

    said = failed(sentence.expect_undone, "seat", "hotel")

    assert said.splitlines()[:3] == ["steps undone", "  expected: seat, hotel", "  found:    hotel, seat"]
    assert f"book_trip {sentence.saga_id} is COMPENSATED at its end" in said
    assert "it is undone because: failed, card_declined: No money." in said
    assert [line.split()[:2] for line in said.splitlines()[6:11]] == [
        ["seat", "DONE"], ["hotel", "DONE"], ["card", "REFUSED"], ["-hotel", "DONE"], ["-seat", "DONE"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expectation", "arguments", "words"),
    [
        ("expect_completed", (), "expected: COMPLETED\n  found:    NEEDS_ATTENTION"),
        ("expect_done", ("seat",), "expected: seat\n  found:    seat, hotel, card"),
        ("expect_failure", ("card_declined",), "a saga that is over\n  expected: True\n  found:    False"),
        ("expect_parked", ("no ink",), "expected: no ink\n  found:    ZeroDivisionError: no paper"),
        ("expect_waiting", ("approval",), "expected: approval\n  found:    nothing"),
        ("expect_attempts", ("hotel", 2), "attempts at hotel\n  expected: 2\n  found:    1"),
        ("expect_undone", ("seat",), "expected: seat\n  found:    none"),
    ],
)
def test_each_expectation_can_be_wrong(expectation, arguments, words):
    sentence = trip().when("ticket", raises=ZeroDivisionError("no paper"))

    said = failed(getattr(sentence, expectation), *arguments)

    assert words in said
    assert "Traceback (most recent call last)" in said  # of what was raised: it is in the saga's history


def test_the_wrong_failure_context_and_place():
    refused = trip().when("card", refuses="card_declined")
    assert "expected: no_money\n  found:    card_declined" in failed(refused.expect_failure, "no_money")
    assert "{'seat': '12B'}\n  found:    {'seat': '12A'}" in failed(refused.expect_context, seat="12B")
    parked = trip().when("ticket", parks="Why not.")
    assert "parked at\n  expected: card\n  found:    ticket" in failed(parked.expect_parked, at="card")


def test_what_is_said_and_never_happens_is_a_failure_too():
    sentence = trip().when("seat", refuses="flight_full").when("card", refuses="card_declined")
    said = failed(sentence.expect_failure, "flight_full")
    assert "when('card', refuses='card_declined')" in said
    assert "it never did" in said
    assert "when_decided('retry')" in failed(trip().when_decided("retry").expect_completed)
    assert "when_signalled('cancel', during='approval')" in failed(
        trip().when_signalled("cancel", during="approval").expect_completed
    )


def test_a_saga_that_does_not_come_to_rest_is_told_so(monkeypatch):
    monkeypatch.setattr("marketplace.sagas.testing.sentence.MOST_DRIVES", 2)
    sentence = trip(needs_approval=True).when("approval", hears={}, times=9)
    world.plan["approval"] = lambda ticket: Retry("Not this one.")
    assert "a saga that comes to rest" in failed(sentence.expect_completed)


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (lambda s: s.when("hotels", refuses="x"), "has no step 'hotels'; it has seat, approval, hotel, card, ticket"),
        (lambda s: s.when("seat", times_out=True), "seat is a Step"),
        (lambda s: s.when("hotel", hears={}), "hotel is a Call"),
        (lambda s: s.when("approval", times_out=True), "approval is a Wait"),
        (lambda s: s.when("seat"), "one thing at a time"),
        (lambda s: s.when("seat", refuses="x", parks="y"), "one thing at a time"),
        (lambda s: s.when_undoing("ticket", parks="x"), "ticket of BookTrip has no undo"),
        (lambda s: s.when_signalled("cancel", during="seat"), "seat is a Step"),
        (lambda s: s.when_decided("forget"), "a person may retry, compensate, resolve, ignore"),
        (lambda s: s.expect_attempts("hotels", 1), "has no step 'hotels'"),
    ],
)
def test_nonsense_is_refused_at_once(say, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        say(trip())


def test_a_transaction_that_is_run_again_meets_the_same_answers():
    """The undo of the seat raises in the transaction that records the refusal of the card: both are seen twice."""
    sentence = given(SplitTrip, new_id()).when("card", refuses="card_declined")
    sentence.when_undoing("seat", raises=ZeroDivisionError("gone"), times=1)
    sentence.expect_parked("gone", at="-seat").expect_undone().expect_attempts("card", 1)
    sentence.when_decided("retry").expect_undone("seat").expect_failure("card_declined")
