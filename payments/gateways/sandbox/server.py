"""The sandbox gateway's HTTP service.

    GET  /health                              no key needed
    POST /v1/authorizations                   {amount_minor, currency, method, metadata?}; its key is Idempotency-Key
    POST /v1/authorizations/{key}/capture     {amount_minor}
    POST /v1/authorizations/{key}/void        {}
    POST /v1/authorizations/{key}/refund      {amount_minor?}      without: all that is left
    GET  /v1/authorizations/{key}             what the ledger believes, with every movement
    GET  /v1/authorizations?since=&after=&limit=

Every call but the first carries `Authorization: Bearer <key>`, every POST an `Idempotency-Key`. Errors read
`{"error": {"code", "message"}}`. Requests are decided one after the other by one thread; those that arrive while it
writes to disk go together into its next commit, so a slow disk costs latency and not throughput.
"""

import asyncio
import contextlib
import hmac
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import parse_qs, unquote

from payments.gateways.sandbox import checks, options, wire
from payments.gateways.sandbox.ledger import Ledger, LedgerUnusable, turned_away
from payments.gateways.sandbox.wire import Answer, Refused, Request, error

IDLE_SECONDS: Final = 75  # longer than clients keep an idle connection, so that it is they who close it

log = logging.getLogger("sandbox")

Command = Callable[[], Answer]


class Books:
    """The way from many connections to the one ledger: what waits is decided and committed together."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting: list[tuple[Command, asyncio.Future[Answer]]] = []
        self._bell = asyncio.Event()

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

    def _decide(self, commands: Sequence[Command]) -> list[Answer]:
        try:
            return self._ledger.apply(commands)
        except Exception:  # the boundary of the ledger: nothing was written, whatever went wrong
            log.exception("a batch of %d failed", len(commands))
        if len(commands) == 1:
            return [error(500, "internal_error", "Something went wrong here.")]
        return [answer for command in commands for answer in self._decide([command])]

    def close(self) -> None:
        """Finish the commit under way, and close the ledger."""
        self._thread.shutdown(wait=True)
        self._ledger.close()


class Service:
    """What is answered to whom."""

    def __init__(self, ledger: Ledger, chosen: options.Options) -> None:
        self._ledger = ledger
        self._options = chosen
        self.books = Books(ledger)

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
            answer = await self._answer(request)
        except Refused as refused:
            hang_up = hang_up or refused.hang_up
            answer = refused.answer
        if answer.lost:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.lost_answer_seconds):
                    await reader.read(1)  # ends at once when the other side gives up
            return False
        writer.write(wire.write(answer, hang_up=hang_up))
        await writer.drain()
        return not hang_up

    async def _answer(self, request: Request) -> Answer:
        path = request.url.path
        if path == "/health" and request.method == "GET":
            return await self.books.ask(self._ledger.health)
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {self._options.api_key}".encode()):
            return error(401, "unauthorized", "The API key is missing or wrong.")
        return await self._route(request, [unquote(part) for part in path.split("/")[1:]])

    async def _route(self, request: Request, path: list[str]) -> Answer:
        match request.method, path:
            case "GET", ["v1", "authorizations"]:
                return await self.books.ask(self._page(request))
            case "GET", ["v1", "authorizations", key]:
                return await self.books.ask(partial(self._ledger.find, authorization_key=key))
            case "POST", ["v1", "authorizations"]:
                return await self._move("authorize", self._authorize(request))
            case "POST", ["v1", "authorizations", key, "capture" | "void" | "refund" as what]:
                return await self._move(what, self._change(request, key, what))
        return error(404, "no_such_page", f"There is no {request.method} at this address.")

    async def _move(self, what: str, command: Command) -> Answer:
        """Do what moves money: turned away now and then, and as late as was asked for."""
        if what in {"authorize", "capture"} and random.random() < self._options.failure_rate:  # noqa: S311 no secret
            return turned_away()
        answer = await self.books.ask(command)
        if self._options.latency_seconds and "Idempotency-Replayed" not in answer.headers:
            await asyncio.sleep(self._options.latency_seconds)
        return answer

    def _authorize(self, request: Request) -> Command:
        key = checks.idempotency_key(request)
        body = checks.body(request, "amount_minor", "currency", "method", "metadata")
        return partial(
            self._ledger.authorize,
            key=key,
            amount_minor=checks.amount(body),
            currency=checks.currency(body),
            method=checks.method(body),
            metadata=checks.metadata(body),
        )

    def _change(self, request: Request, authorization_key: str, what: str) -> Command:
        key = checks.idempotency_key(request)
        body = checks.body(request, *([] if what == "void" else ["amount_minor"]))
        if what == "void":
            return partial(self._ledger.void, key=key, authorization_key=checks.key(authorization_key))
        if what == "capture":
            return partial(
                self._ledger.capture, key=key, authorization_key=authorization_key, amount_minor=checks.amount(body)
            )
        amount = checks.amount(body) if body.get("amount_minor") is not None else None
        return partial(self._ledger.refund, key=key, authorization_key=authorization_key, amount_minor=amount)

    def _page(self, request: Request) -> Command:
        query = checks.query(parse_qs(request.url.query, keep_blank_values=True), "since", "after", "limit")
        since: datetime = checks.instant(query.get("since", "1970-01-01T00:00:00+00:00"))
        return partial(
            self._ledger.page,
            since=since,
            after=checks.cursor(query.get("after", "0-0")),
            limit=checks.limit(query.get("limit", "100")),
        )


async def _run(chosen: options.Options, listener: socket.socket, ledger: Ledger) -> None:
    service = Service(ledger, chosen)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(service.serve, sock=listener, limit=wire.HEAD_LIMIT)
    keeper = asyncio.create_task(service.books.keep())
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"The sandbox gateway listens on {host}:{port}; its ledger is in {chosen.data}\n")
    sys.stdout.flush()
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([keeper, stopping], return_when=asyncio.FIRST_COMPLETED)
    server.close()  # its connections are cancelled with the loop: whoever waits for an answer asks again
    service.books.close()
    if keeper.done():
        keeper.result()  # raises what ended it


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as problem:
        reason = os.strerror(problem.errno) if isinstance(problem.errno, int) and problem.errno > 0 else str(problem)
        raise options.BadOption(f"{host}:{port} can't be listened on: {reason}") from problem


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    logging.basicConfig(format="sandbox gateway: %(message)s", level=logging.WARNING)
    try:
        chosen = options.read(arguments)
        listener = _listen(chosen.host, chosen.port)
        ledger = Ledger(chosen.data)
    except (options.BadOption, LedgerUnusable) as problem:
        sys.stderr.write(f"The sandbox gateway can't start: {problem}\n")
        return 1
    asyncio.run(_run(chosen, listener, ledger))
    return 0
