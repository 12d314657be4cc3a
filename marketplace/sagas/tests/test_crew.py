"""The threads that make calls: so many at once, whatever a call raises is told, and who hangs is left behind."""

import gc
import threading

import pytest

from marketplace.sagas.crew import Crew

PATIENCE = 20.0  # seconds for what happens at once


class Call:
    """Answers its own name, once it may."""

    def __init__(self, name="call", *, gate=None, error=None):
        self.name, self.gate, self.error = name, gate, error
        self.begun = threading.Event()

    def send(self):
        self.begun.set()
        if self.gate is not None:
            assert self.gate.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return self.name


@pytest.fixture
def gate():
    """What calls wait at; it opens with the test's end."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_all_that_is_made_lands_once():
    crew, calls = Crew(4), [Call(str(n)) for n in range(200)]
    for call in calls:
        crew.make(call)
    assert crew.wait(200, PATIENCE)
    landed = crew.collect()
    assert sorted((one.call.name, one.reply) for one in landed) == sorted((call.name, call.name) for call in calls)
    assert (crew.collect(), [call for call in calls if crew.still_makes(call)]) == ([], [])


def test_what_a_call_raises_is_told():
    crew, wrong = Crew(1), Call(error=ZeroDivisionError("unforeseen"))
    crew.make(wrong)
    crew.make(Call("next"))
    assert crew.wait(2, PATIENCE)
    first, second = crew.collect()
    assert (first.call, first.reply, repr(first.error)) == (wrong, None, "ZeroDivisionError('unforeseen')")
    assert (second.reply, second.error) == ("next", None)


def test_no_more_at_once_than_there_may_be(gate):
    crew, calls = Crew(2), [Call(gate=gate) for _ in range(3)]
    for call in calls:
        crew.make(call)
    assert calls[0].begun.wait(PATIENCE)
    assert calls[1].begun.wait(PATIENCE)
    assert not calls[2].begun.wait(0.1)
    assert not crew.wait(1, 0)
    gate.set()
    assert crew.wait(3, PATIENCE)


def test_what_a_hanging_crew_has_not_begun_is_made_by_the_next_and_its_late_answers_land_there(gate):
    hanging, waiting = Call("hanging", gate=gate), Call("waiting")
    before = Crew(1)
    before.make(hanging)
    assert hanging.begun.wait(PATIENCE)
    before.make(waiting)
    crew = Crew(1, before=before)
    assert crew.wait(1, PATIENCE)
    assert [one.call for one in crew.collect()] == [waiting]
    gate.set()
    assert crew.wait(1, PATIENCE)
    assert [one.call for one in crew.collect()] == [hanging]


def test_where_the_system_has_no_thread_left_those_that_are_there_make_it(gate, monkeypatch):
    crew, first, second, nobodys = Crew(2), Call("first", gate=gate), Call("second"), Call()
    crew.make(first)
    assert first.begun.wait(PATIENCE)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", refuse)
        crew.make(second)
        lonely = Crew(2)
        with pytest.raises(RuntimeError):
            lonely.make(nobodys)
    assert (lonely.still_makes(nobodys), crew.still_makes(second)) == (False, True)
    gate.set()
    assert crew.wait(2, PATIENCE)
    assert [one.reply for one in crew.collect()] == ["first", "second"]
    crew.disband()


def test_the_threads_of_a_crew_that_nobody_knows_any_more_end():
    crew = Crew(3)
    for _ in range(3):
        crew.make(Call())
    assert crew.wait(3, PATIENCE)
    threads = list(crew._threads)
    assert threads
    del crew
    gc.collect()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
