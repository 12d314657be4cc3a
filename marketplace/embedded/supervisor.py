"""Starts processes in stages, keeps them alive, and stops them in the opposite order.

One thread and one event loop: the kernel's "tell me when my parent dies" follows the thread that forked, so there is to
be only one. Knows nothing of the shop; `site.py` says what is to run.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marketplace.embedded import processes
from marketplace.embedded.account import Account
from marketplace.embedded.errors import CannotStart, KeepsDying
from marketplace.embedded.output import Log, say

FIRST_POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 0.5
READ_BYTES = 65536


@dataclass(frozen=True)
class Patience:
    """How often and how soon a process that ended is started again."""

    deaths: int = 8
    window_seconds: float = 60.0
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 15.0

    def delay_seconds(self, deaths: int) -> float:
        """Return the pause after so many deaths within the window."""
        delay: float = self.first_delay_seconds * 2 ** (deaths - 1)
        return min(delay, self.longest_delay_seconds)


@dataclass(frozen=True)
class Service:
    """A process to keep alive.

    `ready` is asked until it answers True, up to `ready_seconds`, before the next stage starts. `stop_signal` asks for
    an orderly end; after `stop_seconds` everything in its process group is killed. `death_signal` is what the kernel
    sends when the supervisor itself is gone. `before_start` runs before each start, the first and every later one.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    death_signal: signal.Signals = signal.SIGTERM
    account: Account = field(default_factory=Account)
    before_start: Callable[[], None] | None = None
    quiet: bool = False


class _Child:
    """One run of a service or job."""

    def __init__(self, process: subprocess.Popen[bytes], log: Log, loop: asyncio.AbstractEventLoop) -> None:
        self.process = process
        self.log = log
        self.exited: asyncio.Future[int] = loop.create_future()

    def look(self) -> None:
        """Notice the end of the process, if it has come, and end what it leaves behind in its group."""
        if self.exited.done() or not processes.has_ended(self.process):
            return
        processes.signal_group(self.process, signal.SIGKILL)
        self.exited.set_result(self.process.wait())


class Supervisor:
    """Runs services and jobs for one data folder, whose lock the caller holds.

    Use inside `async with`: leaving it stops everything that was started, whatever the reason.
    """

    def __init__(
        self, *, directory: Path, logs: Path, record: processes.Record, patience: Patience | None = None
    ) -> None:
        self._directory = directory
        self._logs = logs
        self._record = record
        self._patience = patience or Patience()
        self._children: dict[str, _Child] = {}
        self._jobs: list[Service] = []
        self._stages: list[Sequence[Service]] = []
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Supervisor":
        self._logs.mkdir(parents=True, exist_ok=True)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._look)
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self.stop()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    @property
    def pids(self) -> dict[str, int]:
        """The processes that live now, by name."""
        return {name: child.process.pid for name, child in self._children.items()}

    async def start(self, services: Sequence[Service]) -> None:
        """Start one stage: all of these at once; return when each is ready. From then on they are kept alive.

        Raises CannotStart when one ends before it is ready, or isn't ready in time.
        """
        self._stages.append(services)
        children = [(service, self._spawn(service)) for service in services]
        await together(*(self._until_ready(service, child) for service, child in children))
        self._keepers += [asyncio.create_task(self._keep(service, child)) for service, child in children]

    async def run(self, job: Service) -> None:
        """Run a command to its end. Raises CannotStart when it fails, with the last thing it said."""
        self._jobs.append(job)
        child = self._spawn(job)
        code = await asyncio.shield(child.exited)
        last = self._forget(job, child)
        self._jobs.remove(job)
        if code != 0:
            raise CannotStart(f"{job.name}: {last or _how(code)} (all of it: {child.log.path})")

    async def watch(self) -> None:
        """Wait as long as everything lives. Raises KeepsDying when something can't be kept alive."""
        done, _ = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_COMPLETED)
        for keeper in done:
            keeper.result()

    async def stop(self) -> None:
        """Stop the stages, last one first; within a stage all at once."""
        for keeper in self._keepers:  # all of them first, or one would start again what is being stopped
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        for stage in [*self._stages, self._jobs][::-1]:
            await asyncio.gather(*(self._stop_service(service) for service in stage))
        self._stages.clear()

    def kill(self) -> None:
        """Kill everything at once: the person at the terminal has lost patience."""
        for child in self._children.values():
            if not child.exited.done():
                processes.signal_group(child.process, signal.SIGKILL)

    async def _stop_service(self, service: Service) -> None:
        child = self._children.get(service.name)
        if child is not None:
            await self._end(child, service.stop_signal, service.stop_seconds)
            self._forget(service, child)

    async def _end(self, child: _Child, first: signal.Signals, patience_seconds: float) -> None:
        """End a child, by force when it takes too long."""
        child.look()
        if not child.exited.done():
            child.process.send_signal(first)
            await asyncio.wait([child.exited], timeout=patience_seconds)
        if not child.exited.done():
            processes.signal_group(child.process, signal.SIGKILL)
            await asyncio.shield(child.exited)

    def _spawn(self, service: Service) -> _Child:
        if service.before_start is not None:
            service.before_start()
        process = processes.spawn(
            service.command,
            environment=service.environment,
            directory=self._directory,
            account=service.account,
            death_signal=service.death_signal,
        )
        loop = asyncio.get_running_loop()
        child = _Child(process, Log(service.name, self._logs, quiet=service.quiet), loop)
        self._children[service.name] = child
        self._record.add(service.name, process.pid, stop_signal=service.stop_signal)
        os.set_blocking(_output_of(process), False)
        loop.add_reader(_output_of(process), self._read, child)
        child.look()
        return child

    def _read(self, child: _Child) -> None:
        pipe = _output_of(child.process)
        chunk = _read_now(pipe)
        if chunk:
            child.log.feed(chunk)
        else:  # every holder of the other end is gone
            asyncio.get_running_loop().remove_reader(pipe)

    def _look(self) -> None:
        for child in list(self._children.values()):
            child.look()

    def _forget(self, service: Service, child: _Child) -> str:
        """Clean up after a child that has ended; returns the last line it said."""
        self._drain(child)
        child.log.close()
        if child.process.stdout is not None:
            child.process.stdout.close()
        self._children.pop(service.name, None)
        self._record.remove(service.name)
        return child.log.last[-1] if child.log.last else ""

    def _drain(self, child: _Child) -> None:
        """Read the rest of what a child that has ended said."""
        pipe = _output_of(child.process)
        asyncio.get_running_loop().remove_reader(pipe)
        while chunk := _read_now(pipe):
            child.log.feed(chunk)

    async def _until_ready(self, service: Service, child: _Child) -> None:
        if service.ready is None:
            return
        deadline = time.monotonic() + service.ready_seconds
        pause = FIRST_POLL_SECONDS
        while not await service.ready():
            if child.exited.done():
                self._drain(child)
                said = child.log.last[-1] if child.log.last else ""
                raise CannotStart(f"{service.name} {_how(child.exited.result())} at once: {said} ({child.log.path})")
            if time.monotonic() > deadline:
                raise CannotStart(f"{service.name} isn't ready after {service.ready_seconds:.0f} s ({child.log.path})")
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, LONGEST_POLL_SECONDS)

    async def _keep(self, service: Service, child: _Child) -> None:
        """Start the service again whenever it ends, later each time; give up when it keeps ending."""
        deaths: deque[float] = deque()
        while True:
            code = await asyncio.shield(child.exited)
            last = self._forget(service, child)
            now = time.monotonic()
            deaths.append(now)
            while now - deaths[0] > self._patience.window_seconds:
                deaths.popleft()
            if len(deaths) >= self._patience.deaths:
                raise KeepsDying(
                    f"{service.name} ended {len(deaths)} times within {self._patience.window_seconds:.0f} s, so "
                    f"everything is stopped. It said last: {last or 'nothing'} ({child.log.path})"
                )
            delay = self._patience.delay_seconds(len(deaths))
            say(f"{service.name} {_how(code)}; it is started again in {delay:g} s ({child.log.path})")
            await asyncio.sleep(delay)
            child = self._spawn(service)


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of this at once; when one part fails, the others are over too before its failure is raised."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def stop_signals(on_signal: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call `on_signal` at Ctrl-C, SIGTERM and a closed terminal, while this context lasts. Needs the main thread."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _output_of(process: subprocess.Popen[bytes]) -> int:
    if process.stdout is None:  # never: spawn gives every process a pipe
        raise ValueError("the process has no output pipe")
    return process.stdout.fileno()


def _read_now(pipe: int) -> bytes:
    """Read what is there; nothing where the pipe is empty or at its end."""
    try:
        return os.read(pipe, READ_BYTES)
    except BlockingIOError:
        return b""


def _how(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
