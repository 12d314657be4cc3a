"""What can be wrong with a definition, each in one sentence: it is refused when its module is imported.

A handler must be a function of this project, or a callable object or method of a class of it: its module is a file
below the project's folder, and not one that was installed there. `print`, `requests.get` or a `partial` of either can't
be what a step is meant to do, and a coroutine would never be awaited.
"""

import inspect
import math
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from marketplace.sagas.nodes import Call, Node, RetryPolicy, Step, Wait

if TYPE_CHECKING:
    from marketplace.sagas.definition import Saga

LONGEST_NAME = 60  # characters, as the column has it
MOST_ATTEMPTS = 1000  # beyond it, a policy never ends for all that anybody would live to see
LONGEST_PAUSE = 86_400.0  # seconds between two attempts
LONGEST_PATIENCE = timedelta(days=30)
PARTS = ("prepare", "send", "record")  # of a call
TICKET, GROUP = object(), ()  # stand for what a function is given

_NEVER_RUN = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)


def contradictions(saga: "type[Saga]") -> Iterator[str]:
    """What is wrong with `saga`, worst first; nothing where it can be right."""
    names = [node.name for node in saga.steps]
    if not names:
        yield "a saga needs at least one step"
    for name in names:
        if not 1 <= len(name) <= LONGEST_NAME:
            yield f"{name!r} is no name for a step: it needs 1 to {LONGEST_NAME} characters"
        if names.count(name) > 1:
            yield f"two steps are called {name!r}"
    if sum(node.pivot for node in saga.steps) > 1:
        yield "there can be only one pivot"
    for at, node in enumerate(saga.steps):
        yield from _of_any(node)
        if isinstance(node, Wait):
            yield from _of_wait(node, saga)
        else:
            yield from _of_step(node)
            yield from _of_place(node, at, saga.pivot())
        yield from _of_way_back(node, at, saga)
    if (why := _unfit(saga.closing, GROUP, now=True)) is not None:
        yield f"its closing is done by {why}"
    for name, rule in saga.late.items():
        if not callable(rule):
            yield f"what is to be done about a late {name!r} is no function"
        elif (why := _unfit(rule, TICKET)) is not None:
            yield f"what is to be done about a late {name!r} is done by {why}"


def _of_any(node: Node) -> Iterator[str]:
    if node.queue not in settings.SAGA_QUEUES:
        known = ", ".join(settings.SAGA_QUEUES)
        yield f"{node.name!r} is to run in the queue {node.queue!r}, and there is no such queue: there are {known}"


def _of_wait(node: Wait, saga: "type[Saga]") -> Iterator[str]:
    if node.listens_to in saga.stops:
        yield f"{node.name!r} waits for the signal {node.listens_to!r}, which stops the saga"
    if node.returned is not None and all(one.returns_to != node.name for one in saga.steps):
        yield f"no step returns to {node.name!r}, so what it does when the saga has come back is never done"
    decided_by = [_unfit(function, TICKET) for function in (node.until, node.unless) if function is not None]
    handlers = [handler for handler in (node.receive, node.returned) if handler is not None]
    decided_by += [_unfit(handler, GROUP, now=True) for handler in handlers]
    yield from (f"{node.name!r} is decided by {why}" for why in decided_by if why)


def _of_way_back(node: Node, at: int, saga: "type[Saga]") -> Iterator[str]:
    """What is wrong with the wait to which a step goes back: the saga must stand there as when it first came."""
    names = [one.name for one in saga.steps]
    if not node.returns_to:
        return
    if node.returns_to not in names:
        yield f"{node.name!r} returns to {node.returns_to!r}, and there is no such step"
        return
    wait = names.index(node.returns_to)
    if wait >= at:
        yield f"{node.name!r} can only return to a wait that lies before it, and {node.returns_to!r} does not"
    if not isinstance(saga.steps[wait], Wait):
        yield f"{node.name!r} can only return to a wait: {node.returns_to!r} would be done again without anybody asking"
    if at >= saga.pivot():
        yield f"{node.name!r} lies at or after the pivot: there is no way back to {node.returns_to!r}"
    for one in saga.steps[wait:at]:
        if not isinstance(one, Wait) and one.undo is None:
            yield f"{node.name!r} returns past {one.name!r}, which has no undo: it would be done twice"
    if any(isinstance(one, Call) and one.given for one in saga.steps[wait : at + 1]):
        yield f"{node.name!r} returns past what was given before the saga began: that can't be had anew"


def _of_place(node: Step | Call, at: int, pivot: int) -> Iterator[str]:
    """What is wrong with a step where it stands."""
    if at >= pivot and node.undo is not None:
        yield f"{node.name!r} lies at or after the pivot, so it is never undone: it can't have an undo"
    if at > pivot and node.retry.spent == "compensate":
        yield f"{node.name!r} lies after the pivot: when its retries are spent it must park"
    if node.pivot and isinstance(node, Call) and node.retry.spent == "compensate":
        yield f"{node.name!r} is a call and the pivot: nobody can undo it, so when its retries are spent it must park"


def _of_step(node: Step | Call) -> Iterator[str]:
    """What is wrong with a step by itself, wherever it stands."""
    for policy in (node.retry, node.undo_retry):
        yield from (f"{node.name!r} {why}" for why in _of_policy(policy))
    if node.retry.redrive is not None and node.retry.spent != "park":
        yield f"{node.name!r} is undone when its retries are spent, so there is nothing to redrive: it must park"
    for action in (node.do, node.undo):
        if action is not None:
            yield from (f"{node.name!r} {why}" for why in _of_action(node, action))
    if isinstance(node, Call) and isinstance(node.key_window, timedelta) and node.key_window <= timedelta():
        yield f"{node.name!r} needs a key window longer than no time"
    if isinstance(node, Call) and node.unless is not None and (why := _unfit(node.unless, TICKET)) is not None:
        yield f"{node.name!r} is decided by {why}"
    if node.timeout is not None and not 0 < node.timeout < math.inf:
        yield f"{node.name!r} must be given some time {'to answer' if isinstance(node, Call) else 'for its queries'}"


def _of_policy(policy: RetryPolicy) -> Iterator[str]:
    """What is wrong with a policy: above all, that it never ends."""
    if policy.attempts is not None:
        if policy.attempts < 1:
            yield "must be allowed at least one attempt"
        if not isinstance(policy.attempts, int) or policy.attempts > MOST_ATTEMPTS:
            yield f"would be tried for ever: its attempts must be a whole number, at most {MOST_ATTEMPTS}"
    if policy.delay is not None:
        if policy.delay < 0:
            yield "can't wait less than no time before it is tried again"
        if not math.isfinite(policy.delay):
            yield "would never be tried again: its delay must be a number of seconds"
    if not 0 < policy.ceiling <= LONGEST_PAUSE:
        yield f"would wait too long, or not at all: its ceiling must be above 0, and at most {LONGEST_PAUSE:g} seconds"
    if policy.lasting is not None and not timedelta() < policy.lasting <= LONGEST_PATIENCE:
        yield f"would be tried for ever, or never: it may last for {LONGEST_PATIENCE.days} days at most"
    if policy.lasting is not None and policy.pace < timedelta(seconds=1):
        yield "would be tried without a breath for as long as it lasts: its pace must be a second or more"
    if policy.redrive is not None:
        if policy.redrive < timedelta(seconds=1):
            yield "is redriven at once: that is what attempts are for, a redrive takes at least a second"
        if not isinstance(policy.redrives, int) or not 1 <= policy.redrives <= MOST_ATTEMPTS:
            yield f"would be redriven for ever: its redrives must be a whole number from 1 to {MOST_ATTEMPTS}"


def _of_action(node: Step | Call, action: Any) -> Iterator[str]:
    if isinstance(node, Step):
        if not callable(action):
            yield "needs a function for what it does"
        elif (why := _unfit(action, GROUP, now=True)) is not None:
            yield f"is done by {why}"
        return
    if not all(callable(getattr(action, part, None)) for part in PARTS):
        yield "is a call: what it does needs prepare, send and record (see `remote`)"
        return
    if node.key_window is not None and not hasattr(action, "probe"):
        yield "has a key window: what it does, and its undo, need a probe for the time after it"
    answers = [_unfit(function, TICKET) for function in getattr(action, "functions", ())]
    answers += [_unfit(action.prepare, GROUP, now=True), _unfit(action.send, TICKET)]
    answers += [_unfit(action.record, GROUP, GROUP, now=True)]
    answers += [_unfit(action.probe, TICKET)] if hasattr(action, "probe") else []
    yield from (f"is done by {why}" for why in answers if why)


def _unfit(function: Any, *arguments: Any, now: bool = False) -> str | None:
    """Why the engine can't call `function` with so many arguments (and `now`); None where it can."""
    innermost = function
    while (inner := _inside(innermost)) is not None:
        innermost = inner
    name = getattr(innermost, "__qualname__", None) or type(innermost).__qualname__
    if inspect.isclass(innermost) or not is_ours(_module(innermost)):
        return f"{name!r}, which is no function of this project"
    if any(is_one(innermost) for is_one in _NEVER_RUN):
        return f"{name!r}, which is a coroutine or a generator: nobody would run it"
    try:
        inspect.signature(function, follow_wrapped=False).bind(*arguments, **({"now": None} if now else {}))
    except TypeError:
        asked = ", ".join([*("..." for _ in arguments), *(["now=now"] if now else [])])
        return f"{name!r}, which can't be called as {name.rpartition('.')[2]}({asked})"
    return None


def _inside(function: Any) -> Any:
    """What `function` is made of: the function of a method, the one that was lifted or wrapped."""
    if isinstance(function, partial):
        return function.func
    return getattr(function, "__func__", None) or getattr(function, "__wrapped__", None)


def _module(function: Any) -> str:
    if inspect.isfunction(function):
        return function.__module__
    return "" if inspect.isbuiltin(function) else type(function).__module__


def is_ours(module: str) -> bool:
    """Whether the module of that name is a file of this project's own, and not one that is installed beside it."""
    if module == "__main__":
        return True
    loaded = sys.modules.get(module)
    places = [getattr(loaded, "__file__", None), *getattr(loaded, "__path__", ())]
    place = next((Path(place).resolve() for place in places if place), None)
    return place is not None and place.is_relative_to(settings.BASE_DIR) and "site-packages" not in place.parts
