"""Kill a worker at every boundary of every step of every saga, and look at the books afterwards."""

import random
from dataclasses import replace

import pytest

from marketplace.sagas.definition import registered
from marketplace.sagas.testing.matrix import Matrix, untold
from marketplace.sagas.versions import load_definitions
from tests.crash.conftest import SEED, WHOLE
from tests.crash.scenarios import SCENARIOS

MOST = 14  # stories a day: about two and a half minutes


def of_the_day(scenarios, *, seed=SEED, most=MOST):
    """One story of each saga, and others until there are `most`, drawn by lot: other ones every day."""
    drawn = sorted(scenarios, key=lambda scenario: random.Random(f"{seed} {scenario.name}").random())
    firsts = {(one.definition.name, one.definition.version): one for one in reversed(drawn)}
    others = [one for one in drawn if one not in firsts.values()]
    return [*firsts.values(), *others][: max(most, len(firsts))]


def test_each_day_has_a_story_of_every_saga_and_the_days_have_all_of_them():
    days = [of_the_day(SCENARIOS, seed=str(day)) for day in range(60)]
    versions = {(one.definition.name, one.definition.version) for one in SCENARIOS}
    assert all({(one.definition.name, one.definition.version) for one in day} == versions for day in days)
    assert {one.name for day in days for one in day} == {one.name for one in SCENARIOS}


def test_there_is_a_story_for_every_step_and_every_undo_of_every_saga():
    load_definitions()
    shipped = [definition for definition in registered() if "tests" not in definition.__module__.split(".")]
    assert len(shipped) >= 2
    assert untold(shipped, SCENARIOS) == [], "tell a story in tests/crash/scenarios.py that comes past these"


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "scenario",
    SCENARIOS if WHOLE else of_the_day(SCENARIOS),
    ids=lambda scenario: f"{scenario.definition.name} {scenario.definition.version}: {scenario.name}",
)
def test_whoever_dies_the_story_ends_as_it_would_have(scenario, crash_shop, nursery, complaints, report):
    matrix = Matrix(replace(scenario, shop=crash_shop), nursery, complaints)
    twin = matrix.play_twin()
    assert twin["order"][0] == scenario.ends
    assert tuple(kind for kind, _ in twin["money at the bank"]) == scenario.money

    verdicts = []
    for cell in matrix.cells if WHOLE else matrix.sample(random.Random(f"{SEED} {scenario.name}")):
        verdicts.append(matrix.kill_at(cell))
        report(verdicts[-1])

    left_a_mark = [f"killed at {v.cell}: {problem}" for v in verdicts for problem in v.problems]
    assert left_a_mark == [], f"CRASH_SEED={SEED}"
    assert len(verdicts) >= len(scenario.story)
