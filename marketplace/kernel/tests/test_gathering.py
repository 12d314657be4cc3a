import threading
import time

import pytest

from marketplace.kernel.gathering import Gathering


class Settling:
    """Doubles numbers, and can be held up; `groups` are the groups it was given, each with the thread it ran on."""

    def __init__(self):
        self.groups, self.begun, self.may_go_on = [], threading.Event(), threading.Event()
        self.may_go_on.set()

    def __call__(self, numbers):
        self.groups.append((list(numbers), threading.current_thread()))
        self.begun.set()
        assert self.may_go_on.wait(60)
        return [self.settle(number) for number in numbers]

    def settle(self, number):
        return number * 2

    def hold(self):
        self.may_go_on.clear()
        self.begun.clear()


class Caller(threading.Thread):
    """Puts one item in, and keeps what came back or was raised."""

    def __init__(self, gathering, item):
        super().__init__()
        self.gathering, self.item, self.answer, self.error = gathering, item, None, None
        self.start()

    def run(self):
        try:
            self.answer = self.gathering.put(self.item)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error


def waiting(gathering, count):
    """Wait until so many callers wait for the group that is on its way."""
    until = time.monotonic() + 60
    while len(gathering._waiting) != count:
        assert time.monotonic() < until
        time.sleep(0.001)


def gather(gathering, settling, first, *others):
    """Have `others` come, in this order, while `first` is on its way; return all the callers when they are done."""
    settling.hold()
    callers = [Caller(gathering, first)]
    assert settling.begun.wait(60)
    for count, item in enumerate(others, 1):
        callers.append(Caller(gathering, item))
        waiting(gathering, count)
    settling.may_go_on.set()
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    return callers


def test_who_comes_alone_goes_alone_at_once_and_on_its_own_thread():
    settling = Settling()

    assert Gathering(settling).put(3) == 6
    assert settling.groups == [([3], threading.current_thread())]


def test_who_comes_while_a_group_is_on_its_way_goes_with_the_next():
    settling = Settling()
    gathering = Gathering(settling)

    callers = gather(gathering, settling, 1, 2, 3, 4)

    assert [caller.answer for caller in callers] == [2, 4, 6, 8]
    assert settling.groups == [([1], callers[0]), ([2, 3, 4], callers[1])]
    assert gathering.put(5) == 10  # and afterwards the way is free again
    assert settling.groups[2:] == [([5], threading.current_thread())]


def test_a_group_has_a_bound_and_the_lead_passes_on():
    settling = Settling()

    callers = gather(Gathering(settling, most=2), settling, *range(6))

    assert [caller.answer for caller in callers] == [0, 2, 4, 6, 8, 10]
    assert settling.groups == [([0], callers[0]), ([1, 2], callers[1]), ([3, 4], callers[3]), ([5], callers[5])]


def test_what_is_raised_for_one_is_raised_to_it():
    gathering = Gathering(lambda numbers: [1 / number for number in numbers])

    with pytest.raises(ZeroDivisionError):
        gathering.put(0)
    assert gathering.put(2) == 0.5


def test_a_group_that_fails_is_taken_apart_and_each_meets_its_own_fate():
    settling = Settling()
    settling.settle = lambda number: 10 / number

    callers = gather(Gathering(settling), settling, 1, 2, 0, 5)

    assert [caller.answer for caller in callers] == [10, 5, None, 2]
    assert [type(caller.error) for caller in callers] == [type(None), type(None), ZeroDivisionError, type(None)]
    assert [numbers for numbers, _ in settling.groups[:2]] == [[1], [2, 0, 5]]
    alone = settling.groups[2:]
    assert sorted(numbers for numbers, _ in alone) == [[0], [2], [5]]
    assert all(thread is callers[[1, 2, 0, 5].index(number)] for [number], thread in alone)


def test_when_the_leader_is_torn_away_the_others_go_on():
    settling = Settling()
    leaders = []

    def settle(number):
        if not leaders and number == 2:
            leaders.append(threading.current_thread())
            raise SystemExit
        return number * 2

    settling.settle = settle
    gathering = Gathering(settling)

    callers = gather(gathering, settling, 1, 2, 3, 4)

    assert leaders == [callers[1]]
    assert isinstance(callers[1].error, SystemExit)
    assert [caller.answer for caller in callers] == [2, None, 6, 8]
    assert gathering.put(9) == 18


def test_nobody_is_lost_or_gets_another_s_answer_in_a_crowd():
    settling = Settling()
    gathering = Gathering(settling, most=5)
    wrong = []

    def run(base):
        wrong.extend(n for n in range(base, base + 200) if gathering.put(n) != n * 2)

    threads = [threading.Thread(target=run, args=(base,)) for base in range(0, 16_000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert not wrong
    assert not any(thread.is_alive() for thread in threads)
    settled = [number for numbers, _ in settling.groups for number in numbers]
    assert len(settled) == len(set(settled)) == 16 * 200
    assert max(len(numbers) for numbers, _ in settling.groups) <= 5
