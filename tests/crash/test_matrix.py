"""Kill a worker at every boundary of every step of every saga, and look at the books afterwards."""

import random
from dataclasses import replace

import pytest

from marketplace.sagas.definition import registered
from marketplace.sagas.testing.matrix import Matrix, untold
from marketplace.sagas.versions import load_definitions
from tests.crash.conftest import SEED, WHOLE
from tests.crash.scenarios import SCENARIOS


def test_there_is_a_story_for_every_step_and_every_undo_of_every_saga():
    load_definitions()
    shipped = [definition for definition in registered() if "tests" not in definition.__module__.split(".")]
    assert len(shipped) >= 2
    assert untold(shipped, SCENARIOS) == [], "tell a story in tests/crash/scenarios.py that comes past these"


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: f"{scenario.definition.name}: {scenario.name}")
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
