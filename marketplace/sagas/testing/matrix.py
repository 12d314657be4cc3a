"""The crash matrix: a worker is killed at every boundary of every step of a story, and another one takes over.

A `Scenario` tells a story of a definition: how one saga of it begins, which steps it then comes past, and what its
outcome consists of. First the story is played with nobody dying; that is the twin. Then, for every boundary that the
twin's worker came past, some more sagas begin, a worker is killed right there, a healthy one finishes the work, and
their outcome must be the twin's, whoever died. `complaints` looks at everything else, such as the auditor does.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from marketplace.sagas.definition import Node, Saga
from marketplace.sagas.testing.nursery import Doom, Nursery
from marketplace.sagas.testing.seams import Boundary

SAGAS_PER_KILL = 3


class Case(Protocol):
    """One saga, as a scenario has begun it."""

    def outcome(self) -> Mapping[str, Any]:
        """What must be the same whoever dies on the way, by name: no ids, no times."""


class Scenario(Protocol):
    """A story of a definition. `story`: the places that it comes past from where `begin` leaves off, in order."""

    @property
    def name(self) -> str: ...
    @property
    def definition(self) -> type[Saga]: ...
    @property
    def story(self) -> Sequence[str]: ...

    def begin(self, nursery: Nursery, count: int) -> Sequence[Case]:
        """Begin `count` sagas, and with healthy workers bring them to where the story begins. Commits."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One square of the matrix: who is killed where."""

    place: str
    boundary: Boundary

    def __str__(self) -> str:
        return f"{self.place}, {self.boundary}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one cell; no `problems`: nothing was lost, and nothing happened twice."""

    scenario: str
    definition: str
    cell: Cell
    problems: tuple[str, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "definition": self.definition,
            "step": self.cell.place.removeprefix("-"),
            "direction": "compensating" if self.cell.place.startswith("-") else "forward",
            "boundary": self.cell.boundary.value,
            "ok": not self.problems,
            "problems": list(self.problems),
            "seconds": round(self.seconds, 3),
        }


class StoryDiffers(AssertionError):
    """The scenario, with nobody dying, does not come past the places that it says."""


@dataclass(slots=True)
class Matrix:
    """The cells of one scenario. `complaints()` says what is wrong with the world at large; empty is good."""

    scenario: Scenario
    nursery: Nursery
    complaints: Callable[[], Iterable[str]]
    cells: tuple[Cell, ...] = field(default=(), init=False)
    expected: Mapping[str, Any] = field(default_factory=dict, init=False)

    def play_twin(self) -> Mapping[str, Any]:
        """Play the story with nobody dying; return its outcome. Raises `StoryDiffers`."""
        [twin] = self.scenario.begin(self.nursery, 1)
        passed = self.nursery.work().passed
        places = dict.fromkeys(place for place, _ in passed)
        if set(places) != set(self.scenario.story):
            told = ", ".join(self.scenario.story)
            raise StoryDiffers(f"{self.scenario.name} should come past {told}; it came past {', '.join(places)}")
        wrong = list(self.complaints())
        if wrong:
            raise StoryDiffers(f"{self.scenario.name}, with nobody dying, leaves behind: {'; '.join(wrong)}")
        self.cells = tuple(Cell(place, Boundary(boundary)) for place, boundary in dict.fromkeys(passed))
        self.expected = twin.outcome()
        return self.expected

    def sample(self, dice: random.Random) -> list[Cell]:
        """For each place one boundary, as the dice fall."""
        by_place: dict[str, list[Cell]] = {}
        for cell in self.cells:
            by_place.setdefault(cell.place, []).append(cell)
        return [dice.choice(cells) for cells in by_place.values()]

    def kill_at(self, cell: Cell) -> Verdict:
        """Begin some sagas, kill their worker at `cell`, have another one take over, and look what there is."""
        begun = time.perf_counter()
        cases = self.scenario.begin(self.nursery, SAGAS_PER_KILL)
        # What is acknowledged is a bell: where each queue has its own, there is one between any two steps.
        one_by_one = cell.boundary is Boundary.BEFORE_ACKNOWLEDGEMENT
        # Of several calls side by side some are then made, some under way, and none recorded.
        in_a_call = cell.boundary in (Boundary.BEFORE_EFFECT, Boundary.AFTER_EFFECT) and self._is_call(cell.place)
        doom = Doom(cell.place, cell.boundary, nth=2 if in_a_call else 1)
        killed = self.nursery.work(one_by_one=one_by_one, doom=doom).killed
        if killed:
            self.nursery.work()
        problems = list(self._problems(cases)) if killed else ["nobody came by here, so nobody was killed"]
        seconds = time.perf_counter() - begun
        return Verdict(self.scenario.name, self.scenario.definition.name, cell, tuple(problems), seconds)

    def _is_call(self, place: str) -> bool:
        nodes = {node.name: type(node).__name__ for node in self.scenario.definition.steps}
        return nodes.get(place.removeprefix("-")) == "Call"

    def _problems(self, cases: Sequence[Case]) -> Iterable[str]:
        for at, case in enumerate(cases, 1):
            outcome = case.outcome()
            for name, expected in self.expected.items():
                if outcome.get(name) != expected:
                    yield f"saga {at}: {name} is {outcome.get(name)!r} and should be {expected!r}"
        yield from self.complaints()


def _has_way_back(node: Node, definition: type[Saga]) -> bool:
    return getattr(node, "undo", None) is not None or any(one.returns_to == node.name for one in definition.steps)


def untold(definitions: Iterable[type[Saga]], scenarios: Iterable[Scenario]) -> list[str]:
    """The places that no scenario comes past: every step, every undo, and every wait that one comes back to."""
    told = {(scenario.definition, place) for scenario in scenarios for place in scenario.story}
    places = [
        (definition, place)
        for definition in definitions
        for node in definition.steps
        for place in (node.name, *([f"-{node.name}"] if _has_way_back(node, definition) else []))
    ]
    return [f"{definition.name}: {place}" for definition, place in places if (definition, place) not in told]
