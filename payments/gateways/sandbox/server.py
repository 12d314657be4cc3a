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
`{"error": {"code", "message"}}`.
"""

import asyncio
import hmac
import logging
import random
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import parse_qs, unquote

from marketplace.sandbox import courier, serving
from marketplace.sandbox.environment import BadOption
from marketplace.sandbox.ledger import LedgerUnusable
from marketplace.sandbox.serving import Command, Desk
from marketplace.sandbox.wire import Answer, Request, error
from payments.gateways.sandbox import checks, options, pages
from payments.gateways.sandbox.ledger import Ledger, status_of, turned_away

SHOWN: Final = 200  # charges on the page of the books


class Service:
    """What is answered to whom."""

    def __init__(self, ledger: Ledger, chosen: options.Options) -> None:
        self._ledger = ledger
        self._options = chosen
        self.desk = Desk(ledger)

    async def answer(self, request: Request, local: bool) -> Answer:
        path = [unquote(part) for part in request.url.path.split("/")[1:]]
        match request.method, path:
            case "GET", ["health"]:
                return await self.desk.ask(self._ledger.health)
            case "GET", ["3ds", page]:
                return await self.desk.ask(partial(self._confirmation, page))
            case "POST", ["3ds", page]:
                return await self.desk.ask(partial(self._confirmation, page, checks.decision(request)))
            case "GET", [""] | ["books", _] if self._options.books == "all" or (
                local and self._options.books == "local"
            ):
                return await self.desk.ask(partial(self._books, path))
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
                return await self.desk.ask(self._page(request))
            case "GET", ["v1", "authorizations", key]:
                return await self.desk.ask(partial(self._ledger.find, authorization_key=key))
            case "POST", ["v1", "authorizations"]:
                return await self._move("authorize", self._authorize(request))
            case "POST", ["v1", "authorizations", key, "capture" | "void" | "refund" as what]:
                return await self._move(what, self._change(request, key, what))
            case "POST", ["v1", "authorizations", key, "reverse" | "dispute" as what]:
                return await self.desk.ask(self._deed(request, key, what))
        return error(404, "no_such_page", f"There is no {request.method} at this address.")

    async def _move(self, what: str, command: Command) -> Answer:
        """Do what moves money: turned away now and then, and as late as was asked for."""
        if what in {"authorize", "capture"} and random.random() < self._options.failure_rate:  # noqa: S311 no secret
            return turned_away()
        answer = await self.desk.ask(command)
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


async def _run(chosen: options.Options, listener: socket.socket, ledger: Ledger) -> None:
    service = Service(ledger, chosen)
    desk, alive, told = service.desk, courier.Sleeper(), courier.Sleeper()
    desk.sleepers = [alive, told]
    beside = [courier.live(desk.ask, ledger.bank.live, alive)]
    if chosen.webhooks is not None:
        beside.append(courier.deliver(desk.ask, ledger.telling, chosen.webhooks, told))
    connections = serving.Connections(service.answer, lost_answer_seconds=chosen.lost_answer_seconds)
    await serving.run(desk, connections, listener, who="The sandbox gateway", data=chosen.data, beside=beside)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    logging.basicConfig(format="sandbox gateway: %(message)s", level=logging.WARNING)
    try:
        chosen = options.read(arguments)
        listener = serving.listen(chosen.host, chosen.port)
        here = serving.address_of(listener)
        ledger = Ledger(chosen.data, replace(chosen.terms, public_url=chosen.terms.public_url or here))
    except (BadOption, LedgerUnusable) as problem:
        sys.stderr.write(f"The sandbox gateway can't start: {problem}\n")
        return 1
    asyncio.run(_run(chosen, listener, ledger))
    return 0
