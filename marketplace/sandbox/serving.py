"""Many connections, one ledger: what waits is decided by one thread, and goes together into its next commit.

So requests are decided one after the other, and a slow disk costs latency and not throughput.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from marketplace.sandbox import courier, wire
from marketplace.sandbox.environment import BadOption
from marketplace.sandbox.wire import Answer, Refused, Request, error

IDLE_SECONDS: Final = 75  # longer than clients keep an idle connection, so that it is they who close it
EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound

log = logging.getLogger("sandbox")

Command = Callable[[], Answer]
Route = Callable[[Request, bool], Awaitable[Answer]]


class Books(Protocol):
    """A ledger as a desk needs it (`ledger.Ledger`)."""

    def apply(self, commands: Sequence[Command]) -> list[Answer]:
        """Run `commands` in order, commit once, and only then return their answers; all or nothing."""

    def stirred(self) -> bool:
        """Whether something was planned, or is to be told, since this was last asked."""

    def close(self) -> None:
        """Let go of the file."""


class Desk:
    """The way from many connections to the one ledger."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting: list[tuple[Command, asyncio.Future[Answer]]] = []
        self._bell = asyncio.Event()
        self.sleepers: list[courier.Sleeper] = []  # to be woken when something was planned, or is to be told

    async def ask(self, command: Command) -> Answer:
        """Return what `command` answered, once that is on disk."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        self._bell.set()
        return await future

    async def keep(self) -> None:
        """Decide what is asked, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._bell.wait()
            self._bell.clear()
            batch, self._waiting = self._waiting, []
            answers = await loop.run_in_executor(self._thread, self._decide, [command for command, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
            if self._books.stirred():
                for sleeper in self.sleepers:
                    sleeper.wake()

    def _decide(self, commands: Sequence[Command]) -> list[Answer]:
        try:
            return self._books.apply(commands)
        except Exception:  # the boundary of the ledger: nothing was written, whatever went wrong
            log.exception("a batch of %d failed", len(commands))
        if len(commands) == 1:
            return [error(500, "internal_error", "Something went wrong here.")]
        return [answer for command in commands for answer in self._decide([command])]

    def close(self) -> None:
        """Finish the commit under way, and close the ledger."""
        self._thread.shutdown(wait=True)
        self._books.close()


class Connections:
    """Serves each connection by `route(request, local)`, where `local` says that it comes from this machine.

    `lost_answer_seconds`: for so long a connection is held whose answer is lost.
    """

    def __init__(self, route: Route, *, lost_answer_seconds: float) -> None:
        self._route = route
        self._lost_answer_seconds = lost_answer_seconds

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until one side ends it."""
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, TimeoutError):
            pass  # the other side is gone, or has been silent for long
        finally:
            writer.close()  # and not waited for: the other side may never read what is left

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request and answer it; return whether another may follow."""
        hang_up = False
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                request = await wire.read(reader)
            if request is None:
                return False
            hang_up = request.is_last
            answer = await self._route(request, _is_local(writer))
        except Refused as refused:
            hang_up = hang_up or refused.hang_up
            answer = refused.answer
        if answer.lost:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lost_answer_seconds):
                    await reader.read(1)  # ends at once when the other side gives up
            return False
        writer.write(wire.write(answer, hang_up=hang_up))
        await writer.drain()
        return not hang_up


def _is_local(writer: asyncio.StreamWriter) -> bool:
    peer = writer.get_extra_info("peername")
    return bool(peer) and ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback


def listen(host: str, port: int) -> socket.socket:
    """Take the address; raises `BadOption`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as problem:
        reason = os.strerror(problem.errno) if isinstance(problem.errno, int) and problem.errno > 0 else str(problem)
        raise BadOption(f"{host}:{port} can't be listened on: {reason}") from problem


def address_of(listener: socket.socket) -> str:
    """Where a browser on this machine finds the service."""
    host, port = listener.getsockname()[:2]
    name = "127.0.0.1" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


async def run(
    desk: Desk,
    connections: Connections,
    listener: socket.socket,
    *,
    who: str,
    data: object,
    beside: Sequence[Coroutine[Any, Any, None]],
) -> None:
    """Serve until SIGTERM or SIGINT, with what runs `beside` the requests; say so once it listens."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(connections.serve, sock=listener, limit=wire.HEAD_LIMIT)
    working = [asyncio.create_task(one) for one in (desk.keep(), *beside)]
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"{who} listens on {host}:{port}; its ledger is in {data}\n")
    sys.stdout.flush()
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*working, stopping], return_when=asyncio.FIRST_COMPLETED)
    server.close()  # its connections are cancelled with the loop: whoever waits for an answer asks again
    desk.close()
    for one in working:
        if one.done():
            one.result()  # raises what ended it
