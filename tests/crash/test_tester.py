"""The crash matrix itself: it finds what is broken on purpose, where it is broken, and nothing where nothing is."""

import pytest

from marketplace.sagas.definition import Call, Saga, Step
from marketplace.sagas.testing.matrix import Cell, Matrix, StoryDiffers, untold
from marketplace.sagas.testing.nursery import Doom, Nursery
from marketplace.sagas.testing.seams import Boundary
from tests.crash.toy import OpenAccount, ToyScenario

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(600),
    pytest.mark.django_db(transaction=True, available_apps=["marketplace.sagas"]),
]

AFTER_THE_CALL = {Boundary.AFTER_EFFECT, Boundary.BEFORE_COMMIT}  # it happened, and nobody knows


@pytest.fixture(scope="module")
def born():
    """The nursery, once it was asked for."""
    nurseries = []
    yield nurseries
    for one in nurseries:
        one.close()


@pytest.fixture
def toys(born, process_environment, transactional_db, tmp_path_factory):
    """Where workers are born that know the toy."""
    if not born:
        environment = {**process_environment, "SAGA_RETRY_DELAY_SECONDS": "0", "LOG_LEVEL": "ERROR"}
        log = tmp_path_factory.mktemp("toys") / "workers.log"
        born.append(Nursery(environment, log=log, load=["tests.crash.toy"]))
    return born[0]


def verdicts(toys, tmp_path, fault, complaints=list):
    matrix = Matrix(ToyScenario(fault, tmp_path / "books"), toys, complaints)
    twin = matrix.play_twin()
    assert (twin["charges"], twin["paid back"], twin["status"]) == (1, 1, "COMPENSATED")
    return {cell: matrix.kill_at(cell).problems for cell in matrix.cells}


def test_where_nothing_is_broken_no_kill_leaves_a_mark(toys, tmp_path):
    found = verdicts(toys, tmp_path, "")

    assert set(found.values()) == {()}
    calls = {Cell(place, boundary) for place in ("charge", "-charge") for boundary in Boundary}
    assert calls <= set(found)
    assert {cell.boundary for cell in found if cell.place == "open_account"} == set(Boundary)


@pytest.mark.parametrize(
    ("fault", "place", "words"),
    [
        ("the bank forgets its keys", "charge", "charges is 2 and should be 1"),
        ("the undo pays back twice", "-charge", "paid back is 2 and should be 1"),
    ],
)
def test_what_happens_twice_is_found_where_it_happens(toys, tmp_path, fault, place, words):
    found = verdicts(toys, tmp_path, fault)

    assert {cell for cell, problems in found.items() if problems} >= {Cell(place, at) for at in AFTER_THE_CALL}
    assert found[Cell("-charge" if place == "charge" else "charge", Boundary.BEFORE_COMMIT)] == ()  # and nowhere else
    assert any(words in problem for problem in found[Cell(place, Boundary.BEFORE_COMMIT)])


def test_what_is_wrong_with_the_world_is_a_problem_too(toys, tmp_path):
    wrong = []
    matrix = Matrix(ToyScenario("", tmp_path / "books"), toys, lambda: wrong)
    matrix.play_twin()
    wrong.append("the auditor is not amused")
    assert matrix.kill_at(Cell("charge", Boundary.AFTER_COMMIT)).problems == ("the auditor is not amused",)
    with pytest.raises(StoryDiffers, match="leaves behind: the auditor is not amused"):
        matrix.play_twin()


def test_a_kill_that_never_comes_is_a_problem(toys, tmp_path):
    matrix = Matrix(ToyScenario("", tmp_path / "books"), toys, list)
    matrix.play_twin()
    assert "nobody was killed" in matrix.kill_at(Cell("-open_account", Boundary.AFTER_COMMIT)).problems[0]


def test_a_story_that_does_not_go_as_it_is_told(toys, tmp_path):
    told = ToyScenario("", tmp_path / "books", story=("charge", "open_account"))
    with pytest.raises(StoryDiffers, match="should come past charge, open_account; it came past charge"):
        Matrix(told, toys, list).play_twin()


def test_a_step_and_an_undo_of_which_nobody_tells():
    class Silent(Saga):
        steps = (Call("one", do=OpenAccount.steps[0].do, undo=OpenAccount.steps[0].undo), Step("two", do=print))

    Silent.name = "silent"
    assert untold([Silent, OpenAccount], [ToyScenario("", None)]) == ["silent: one", "silent: -one", "silent: two"]


def test_the_dead_are_dead_and_the_living_come_back(toys, tmp_path):
    scenario = ToyScenario("", tmp_path / "books")
    scenario.begin(toys, 1)
    assert toys.work(doom=Doom("charge", Boundary.AFTER_EFFECT)).killed
    back = toys.work()
    assert not back.killed
    assert ("charge", Boundary.AFTER_EFFECT) in back.passed
    with pytest.raises(RuntimeError, match="a worker ended with 1"):
        toys.work(queues=[])
