"""The sandbox gateway's HTTP service.

    GET  /health                              no key needed
    GET  /3ds/{page}                          no key needed: where a buyer confirms a payment; POST: what they said
    GET  /, /books/{key}                      no key needed: its own books for a person, by default on this machine
    POST /v1/authorizations                   {amount_minor, currency, method, metadata?, return_url?}; its key is
                                              Idempotency-Key; 202 when it is decided later
    POST /v1/authorizations/{key}/capture     {amount_minor}
    POST /v1/authorizations/{key}/void        {}
    POST /v1/authorizations/{key}/refund      {amount_minor?}      without: all that is left
    POST /v1/authorizations/{key}/reverse     {}                   as the bank: let go, or take back
    POST /v1/authorizations/{key}/dispute     {status}             as the bank: OPEN, then WON or LOST
    GET  /v1/authorizations/{key}             what the ledger believes, with every movement and webhook
    GET  /v1/authorizations?since=&after=&limit=

Every call below /v1 carries `Authorization: Bearer <key>`, every POST an `Idempotency-Key`. Errors read
`{"error": {"code", "message"}}`. Requests are decided one after the other by one thread; those that arrive while it
writes to disk go together into its next commit, so a slow disk costs latency and not throughput.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import parse_qs, unquote

from payments.gateways.sandbox import checks, courier, options, pages, wire
from payments.gateways.sandbox.ledger import Ledger, status_of, turned_away
from payments.gateways.sandbox.schema import LedgerUnusable
from payments.gateways.sandbox.wire import Answer, Refused, Request, error

SHOWN: Final = 200  # charges on the page of the books
IDLE_SECONDS: Final = 75  # longer than clients keep an idle connection, so that it is they who close it

_EVERYWHERE: Final = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound

log = logging.getLogger("sandbox")

Command = Callable[[], Answer]


class Books:
    """The way from many connections to the one ledger: what waits is decided and committed together."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
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
            if self._ledger.stirred():
                for sleeper in self.sleepers:
                    sleeper.wake()

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
            answer = await self._answer(request, local=_is_local(writer))
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

    async def _answer(self, request: Request, *, local: bool) -> Answer:
        path = [unquote(part) for part in request.url.path.split("/")[1:]]
        match request.method, path:
            case "GET", ["health"]:
                return await self.books.ask(self._ledger.health)
            case "GET", ["3ds", page]:
                return await self.books.ask(partial(self._confirmation, page))
            case "POST", ["3ds", page]:
                return await self.books.ask(partial(self._confirmation, page, checks.decision(request)))
            case "GET", [""] | ["books", _] if self._options.books == "all" or (
                local and self._options.books == "local"
            ):
                return await self.books.ask(partial(self._books, path))
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {self._options.api_key}".encode()):
            return error(401, "unauthorized", "The API key is missing or wrong.")
        return await self._route(request, path)

    def _confirmation(self, page: str, decision: str = "") -> Answer:
        """The page for the buyer. The address is the secret; what is decided stays decided, however often they ask."""
        row = self._ledger.bank.asked(page)
        if row is None:
            return Answer(404, {}, html=pages.nothing_here())
        if decision:
            self._ledger.bank.confirm(row, approved=decision == "approve")
            if row["return_url"]:
                return Answer(303, {}, {"Location": row["return_url"]})
            row = self._ledger.bank.asked(page) or row
        if status_of(row) != "PENDING":
            return Answer(200, {}, html=pages.over(status_of(row)))
        asked = {name: row[name] for name in ("amount_minor", "currency", "reference")}
        return Answer(200, {}, html=pages.confirm(**asked))

    def _books(self, path: list[str]) -> Answer:
        if len(path) == 1:
            latest = self._ledger.latest(limit=SHOWN).body
            return Answer(200, {}, html=pages.books(latest["results"], latest["sums"]))
        found = self._ledger.find(authorization_key=path[1])
        if found.status != 200:
            return Answer(404, {}, html=pages.nothing_here())
        body = found.body
        return Answer(200, {}, html=pages.story(body["authorization"], body["movements"], body["events"]))

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
            case "POST", ["v1", "authorizations", key, "reverse" | "dispute" as what]:
                return await self.books.ask(self._deed(request, key, what))
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
        body = checks.body(request, "amount_minor", "currency", "method", "metadata", "return_url")
        return partial(
            self._ledger.authorize,
            key=key,
            amount_minor=checks.amount(body),
            currency=checks.currency(body),
            method=checks.method(body),
            metadata=checks.metadata(body),
            return_url=checks.return_url(body),
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

    def _deed(self, request: Request, authorization_key: str, what: str) -> Command:
        """What a bank does without being asked; here it can be."""
        if what == "reverse":
            checks.body(request)
            return partial(self._ledger.bank.reverse, authorization_key=authorization_key)
        status = checks.dispute(checks.body(request, "status"))
        return partial(self._ledger.bank.dispute, authorization_key=authorization_key, status=status)

    def _page(self, request: Request) -> Command:
        query = checks.query(parse_qs(request.url.query, keep_blank_values=True), "since", "after", "limit")
        since: datetime = checks.instant(query.get("since", "1970-01-01T00:00:00+00:00"))
        return partial(
            self._ledger.page,
            since=since,
            after=checks.cursor(query.get("after", "0-0")),
            limit=checks.limit(query.get("limit", "100")),
        )


def _is_local(writer: asyncio.StreamWriter) -> bool:
    peer = writer.get_extra_info("peername")
    return bool(peer) and ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback


async def _run(chosen: options.Options, listener: socket.socket, ledger: Ledger) -> None:
    service = Service(ledger, chosen)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(service.serve, sock=listener, limit=wire.HEAD_LIMIT)
    alive, told = courier.Sleeper(), courier.Sleeper()
    service.books.sleepers = [alive, told]
    work = [service.books.keep(), courier.live(service.books.ask, ledger, alive)]
    if chosen.webhooks is not None:
        work.append(courier.deliver(service.books.ask, ledger, chosen.webhooks, told))
    working = [asyncio.create_task(one) for one in work]
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"The sandbox gateway listens on {host}:{port}; its ledger is in {chosen.data}\n")
    sys.stdout.flush()
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*working, stopping], return_when=asyncio.FIRST_COMPLETED)
    server.close()  # its connections are cancelled with the loop: whoever waits for an answer asks again
    service.books.close()
    for one in working:
        if one.done():
            one.result()  # raises what ended it


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
        host, port = listener.getsockname()[:2]
        name = "127.0.0.1" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
        here = f"http://{name}:{port}"
        ledger = Ledger(chosen.data, replace(chosen.terms, public_url=chosen.terms.public_url or here))
    except (options.BadOption, LedgerUnusable) as problem:
        sys.stderr.write(f"The sandbox gateway can't start: {problem}\n")
        return 1
    asyncio.run(_run(chosen, listener, ledger))
    return 0
