"""The supervisor with small processes of its own choice: order, restarts, giving up, stopping."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from marketplace.embedded.errors import CannotStart, KeepsDying
from marketplace.embedded.processes import Record
from marketplace.embedded.supervisor import Patience, Service, Supervisor

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
NOTES_ITS_END = """
import signal, sys, time
def end(*_):
    open(sys.argv[1], "a").write(sys.argv[2] + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1] + "." + sys.argv[2], "w").close()
while True: time.sleep(60)
"""
DEAF_WITH_A_CHILD = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
while True: time.sleep(60)
"""


def service(name, command, **options):
    return Service(name, command, dict(os.environ), **options)


def supervisor_in(folder: Path, **options) -> Supervisor:
    return Supervisor(directory=folder, logs=folder / "logs", record=Record(folder / "processes.json"), **options)


def when(condition):
    """A `ready` that looks at the world."""

    async def ready() -> bool:
        return condition()

    return ready


async def until(condition, *, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # also if it goes while we look
        return False


def test_what_started_last_stops_first(tmp_path):
    ends = tmp_path / "ends"

    def noting(name):
        started = Path(f"{ends}.{name}")
        return service(
            name, [sys.executable, "-c", NOTES_ITS_END, str(ends), name], ready=when(started.exists), stop_seconds=60
        )

    async def story():
        async with supervisor_in(tmp_path) as supervisor:
            await supervisor.start([noting("first")])
            assert supervisor.pids.keys() == {"first"}
            await supervisor.start([noting("second")])
            await supervisor.start([noting("third")])
            assert supervisor.pids.keys() == {"first", "second", "third"}

    asyncio.run(story())
    assert ends.read_text().split() == ["third", "second", "first"]


def test_a_dead_process_is_started_again_and_no_other_is_touched(tmp_path, capsys):
    async def story():
        async with supervisor_in(tmp_path, patience=Patience(first_delay_seconds=0.1)) as supervisor:
            await supervisor.start([service("mortal", SLEEP), service("other", SLEEP)])
            before = supervisor.pids
            os.kill(before["mortal"], signal.SIGKILL)
            await until(lambda: supervisor.pids.get("mortal") not in {None, before["mortal"]})
            assert supervisor.pids["other"] == before["other"]
            return before, supervisor.pids

    before, after = asyncio.run(story())
    assert "mortal was killed by SIGKILL; it is started again in 0.1 s" in capsys.readouterr().out
    assert not any(lives(pid) for pid in [*before.values(), *after.values()])


def test_it_gives_up_on_a_process_that_keeps_dying(tmp_path):
    starts = tmp_path / "starts"
    dies = f"open({str(starts)!r}, 'a').write('x'); print('no bread'); raise SystemExit(3)"

    async def story():
        patience = Patience(deaths=3, first_delay_seconds=0.05)
        async with supervisor_in(tmp_path, patience=patience) as supervisor:
            await supervisor.start([service("other", SLEEP), service("baker", [sys.executable, "-c", dies])])
            other = supervisor.pids["other"]
            with pytest.raises(KeepsDying, match=r"baker ended 3 times within 60 s.*It said last: no bread"):
                await asyncio.wait_for(supervisor.watch(), 60)
            return other

    other = asyncio.run(story())
    assert starts.read_text() == "xxx"
    assert not lives(other)


def test_delays_grow_and_have_an_end():
    patience = Patience(first_delay_seconds=0.5, longest_delay_seconds=3.0)
    assert [patience.delay_seconds(deaths) for deaths in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_process_that_ends_before_it_is_ready_stops_the_start(tmp_path):
    async def story():
        async with supervisor_in(tmp_path) as supervisor:
            fails = service(
                "fails", [sys.executable, "-c", "print('no flour'); raise SystemExit(4)"], ready=when(lambda: False)
            )
            with pytest.raises(CannotStart, match="fails ended with exit code 4 at once: no flour"):
                await supervisor.start([service("other", SLEEP), fails])
            return supervisor.pids["other"]

    assert not lives(asyncio.run(story()))


def test_a_process_that_is_never_ready_stops_the_start(tmp_path):
    async def story():
        async with supervisor_in(tmp_path) as supervisor:
            slow = service("slow", SLEEP, ready=when(lambda: False), ready_seconds=0.3)
            with pytest.raises(CannotStart, match="slow isn't ready"):
                await supervisor.start([slow])
            return supervisor.pids["slow"]

    assert not lives(asyncio.run(story()))


def test_what_ignores_the_stop_is_killed_with_its_children(tmp_path):
    child_file = tmp_path / "child"

    async def story():
        async with supervisor_in(tmp_path) as supervisor:
            deaf = service(
                "deaf",
                [sys.executable, "-c", DEAF_WITH_A_CHILD, str(child_file)],
                ready=when(lambda: child_file.exists() and bool(child_file.read_text())),
                stop_seconds=0.3,
            )
            await supervisor.start([deaf])
            return supervisor.pids["deaf"]

    deaf, child = asyncio.run(story()), int(child_file.read_text())
    deadline = time.monotonic() + 60
    while (lives(deaf) or lives(child)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not lives(deaf)
    assert not lives(child)


def test_a_job_that_fails_says_why_in_one_line(tmp_path):
    async def story():
        async with supervisor_in(tmp_path) as supervisor:
            await supervisor.run(service("works", [sys.executable, "-c", "print('bread')"]))
            with pytest.raises(CannotStart, match=r"bakes: no oven \(all of it: .*bakes.log\)"):
                await supervisor.run(
                    service("bakes", [sys.executable, "-c", "print('hm', flush=True); raise SystemExit('no oven')"])
                )
            assert supervisor.pids == {}

    asyncio.run(story())
    assert (tmp_path / "logs" / "works.log").read_text() == "bread\n"
    assert (tmp_path / "logs" / "bakes.log").read_text() == "hm\nno oven\n"


def test_a_stop_in_the_middle_of_a_job_ends_the_job(tmp_path):
    async def story():
        async with supervisor_in(tmp_path) as supervisor:
            job = asyncio.create_task(supervisor.run(service("long", SLEEP)))
            await until(lambda: "long" in supervisor.pids)
            pid = supervisor.pids["long"]
            job.cancel()
            return pid

    assert not lives(asyncio.run(story()))
