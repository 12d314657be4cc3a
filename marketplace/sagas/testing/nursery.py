"""Where workers are born that are to die: a process that forks one, has it work, and tells what became of it.

    with Nursery(environment=…) as nursery:
        nursery.work(doom=Doom("authorize_payment", Boundary.AFTER_EFFECT))   # kill -9, at that very instant
        nursery.work()                                                        # another one takes over

The workers are real processes with connections of their own. Forking them from one that has everything loaded, and
neither a thread nor a connection, is sound and costs milliseconds instead of seconds.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from django.db import connection

from marketplace.sagas import doorbell
from marketplace.sagas.testing.interception import Place
from marketplace.sagas.testing.seams import Boundary, watched
from marketplace.sagas.versions import load_definitions

QUEUES = ("orders", "inventory", "payments", "fulfillment")
_BIRTH = "import django, sys; django.setup(); from marketplace.sagas.testing import nursery; nursery.main(sys.argv[1:])"
MOST_ROUNDS = 200  # of one shift: whoever needs more does not come to rest


@dataclass(frozen=True, slots=True)
class Doom:
    """Where a worker dies: when it comes for the nth time past `boundary` of `place` (`step`; `-step` is its undo)."""

    place: str
    boundary: Boundary
    nth: int = 1


@dataclass(frozen=True, slots=True)
class Shift:
    """What became of a worker: killed, or back with all the seams that it came past, in order."""

    killed: bool
    passed: list[tuple[str, str]] = field(default_factory=list)


class Nursery:
    """The process that forks workers, as the test sees it.

    `load`: modules to import, with definitions beside the apps' own or with what each worker would else import anew.
    """

    def __init__(self, environment: Mapping[str, str], *, log: Path, load: Sequence[str] = ()) -> None:
        self._log = log
        with log.open("a") as said:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-c", _BIRTH, *load],
                env={"DJANGO_SETTINGS_MODULE": "marketplace.settings", **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def work(self, queues: Sequence[str] = QUEUES, *, one_by_one: bool = False, doom: Doom | None = None) -> Shift:
        """Have a worker move what is due in `queues` until nothing is, or until its doom; return what became of it.

        Pauses and leases of the dead cost no time. `one_by_one`: each queue has a worker of its own, as on several
        machines. Raises `RuntimeError` when a worker ends in any other way.
        """
        order = {"queues": list(queues), "one_by_one": one_by_one, "doom": asdict(doom) if doom else None}
        return self._tell(order)

    def once(self, *queues: str) -> None:
        """Have each of these queues worked off once, in this order, and no further."""
        self._tell({"queues": list(queues), "one_by_one": True, "doom": None, "rounds": 1})

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            _pipe(pipe).close()
        self._process.wait(timeout=60)

    def _tell(self, order: dict[str, Any]) -> Shift:
        pipe = _pipe(self._process.stdin)
        pipe.write(json.dumps(order) + "\n")
        pipe.flush()
        answer = self._answer()
        if answer["status"] not in (0, -signal.SIGKILL):
            raise RuntimeError(f"a worker ended with {answer['status']}:\n{self._log.read_text()[-4000:]}")
        return Shift(answer["status"] != 0, [(place, boundary) for place, boundary in answer["passed"]])

    def _answer(self) -> dict[str, Any]:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"the nursery is gone:\n{self._log.read_text()[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("the nursery has no pipe")
    return pipe


# --- in the nursery ---------------------------------------------------------------------------------------------------


def main(load: Sequence[str]) -> None:
    """Fork a worker for each line of the standard input, and answer each by one line."""
    load_definitions()
    for module in load:
        import_module(module)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a worker prints is none of our answers
    _say(answers, {"status": 0, "passed": []})
    for line in sys.stdin:
        _say(answers, _fork(json.loads(line)))


def _say(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _fork(order: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(_live(order, writing))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        passed = pipe.read()
    _, status = os.waitpid(child, 0)
    return {"status": os.waitstatus_to_exitcode(status), "passed": json.loads(passed or "[]")}


def _live(order: dict[str, Any], report: int) -> int:
    """The life of a worker; return its exit status, if it comes to that."""
    try:
        passed = _work(order)
        with os.fdopen(report, "w") as pipe:
            json.dump(passed, pipe)
    except BaseException:  # noqa: BLE001 - the end of the process: nobody is above it to be told
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    return 0


def _work(order: dict[str, Any]) -> list[tuple[str, str]]:
    passed: list[tuple[str, str]] = []
    doom = order["doom"] and (order["doom"]["place"], order["doom"]["boundary"])
    one_at_a_time = threading.Lock()

    def reached(place: Place, boundary: Boundary) -> None:
        with one_at_a_time:
            passed.append((str(place), boundary.value))
            if doom and passed.count(doom) == order["doom"]["nth"]:
                os.kill(os.getpid(), signal.SIGKILL)

    with watched(reached):
        for _ in range(order.get("rounds", MOST_ROUNDS)):
            if order["one_by_one"]:
                for queue in order["queues"]:
                    doorbell.answer(queue, 0, [queue])
            else:
                doorbell.answer(order["queues"][0], 0, order["queues"])
            if "rounds" not in order and not _hurry():
                break
    connection.close()
    return passed


def _hurry() -> int:
    """Let the time come for which sagas pause, or hold a lease; return how many are due now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sagas_sagainstance SET due_at = least(due_at, clock_timestamp())"
            " WHERE due_at IS NOT NULL AND (wait_until IS NULL OR due_at <= clock_timestamp())"
        )
        return int(cursor.rowcount)
