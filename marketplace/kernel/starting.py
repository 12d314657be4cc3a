"""What must be right before a process of the shop starts: whoever knows says so, every process asks.

Web, workers, the relay and the supervisor's preparation ask the same question first, each for itself, because each may
be started alone. Those who can answer it register here; the kernel knows none of them.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why nothing should start, in one sentence, and what to do about it."""

    why: str
    advice: str = ""


_who_know: list[Callable[[], Iterable[Obstacle]]] = []


def ask_before_starting(who_knows: Callable[[], Iterable[Obstacle]]) -> None:
    """Have `who_knows` asked before anything starts; once, however often it registers."""
    if who_knows not in _who_know:
        _who_know.append(who_knows)


def obstacles() -> list[Obstacle]:
    """Everything that is in the way. Django must be set up."""
    return [obstacle for who_knows in _who_know for obstacle in who_knows()]


def refuse_to_start(found: Iterable[Obstacle] | None = None) -> None:
    """End the process with exit code 1 if anything is in the way (or `found`): one line each, then what to do."""
    found = obstacles() if found is None else list(found)
    if found:
        advice = dict.fromkeys(obstacle.advice for obstacle in found if obstacle.advice)
        sys.exit("\n".join([*(f"Not starting: {obstacle.why}" for obstacle in found), *advice]))
