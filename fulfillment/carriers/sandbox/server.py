"""The sandbox carrier's HTTP service.

    GET  /health                        no key needed
    GET  /track/{number}                no key needed: what a buyer may see of a parcel
    GET  /, /parcels/{key}              no key needed: its own books for a person, by default on this machine
    POST /, /parcels/{key}              the same: close its door and open it again, move a parcel on
    POST /v1/rates                      {to, weight_grams}
    POST /v1/shipments                  {to, weight_grams, service, reference?}; its key is Idempotency-Key
    POST /v1/shipments/{key}/label      {}
    POST /v1/shipments/{key}/void       {}
    POST /v1/shipments/{key}/scan       {kind, place?, message?}      as the carrier's own people
    GET  /v1/shipments/{key}            what the ledger believes, with every scan and webhook

Every call below /v1 carries `Authorization: Bearer <key>`; announcing, buying and voiding an `Idempotency-Key`. Errors
read `{"error": {"code", "message"}}`.
"""

import asyncio
import hmac
import logging
import random
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import quote, unquote

from fulfillment.carriers.sandbox import checks, options, pages
from fulfillment.carriers.sandbox.ledger import HOME, SERVICES, Ledger, closed, turned_away
from marketplace.sandbox import courier, serving
from marketplace.sandbox.environment import BadOption
from marketplace.sandbox.ledger import LedgerUnusable
from marketplace.sandbox.serving import Command, Desk
from marketplace.sandbox.wire import Answer, Request, error

SHOWN: Final = 200  # parcels on the page of the books


class Service:
    """What is answered to whom."""

    def __init__(self, ledger: Ledger, chosen: options.Options) -> None:
        self._ledger = ledger
        self._options = chosen
        self.desk = Desk(ledger)

    async def answer(self, request: Request, local: bool) -> Answer:
        """Answer one request; `local`: it comes from this machine."""
        path = [unquote(part) for part in request.url.path.split("/")[1:]]
        match request.method, path:
            case "GET", ["health"]:
                return await self.desk.ask(self._ledger.health)
            case "GET", ["track", number]:
                return await self.desk.ask(partial(self._track, number))
            case "GET" | "POST", [""] | ["parcels", _] if self._options.books == "all" or (
                local and self._options.books == "local"
            ):
                deed = checks.deed(request) if request.method == "POST" else ""
                return await self.desk.ask(partial(self._page, path, deed))
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {self._options.api_key}".encode()):
            return error(401, "unauthorized", "The API key is missing or wrong.")
        return await self._route(request, path)

    def _track(self, number: str) -> Answer:
        found = self._ledger.find(tracking_number=number)
        if found.status != 200:
            return Answer(404, {}, html=pages.nothing_here())
        return Answer(200, {}, html=pages.track(found.body))

    def _page(self, path: list[str], deed: str) -> Answer:
        if len(path) == 1:
            if deed in {"close", "open"}:
                self._ledger.door(closed=deed == "close")
                return Answer(303, {}, {"Location": "/"})
            return Answer(200, {}, html=pages.books(self._ledger.latest(limit=SHOWN).body))
        found = self._ledger.find(shipment_key=path[1])
        if found.status != 200:
            return Answer(404, {}, html=pages.nothing_here())
        if not deed:
            return Answer(200, {}, html=pages.parcel(found.body))
        if deed == "again":
            self._ledger.tell_again(shipment_key=path[1])
        elif deed not in {"close", "open"}:
            self._ledger.scan(shipment_key=path[1], kind=deed)  # what can't be any more has just been done otherwise
        return Answer(303, {}, {"Location": f"/parcels/{quote(path[1], safe='')}"})

    async def _route(self, request: Request, path: list[str]) -> Answer:
        match request.method, path:
            case "GET", ["v1", "shipments", key]:
                return await self._asked(partial(self._ledger.find, shipment_key=key))
            case "POST", ["v1", "rates"]:
                return await self._asked(self._rates(request))
            case "POST", ["v1", "shipments"]:
                return await self._change("announce", self._announce(request))
            case "POST", ["v1", "shipments", key, "label" | "void" as what]:
                checks.body(request)
                names = {"key": checks.idempotency_key(request), "shipment_key": checks.key(key)}
                does = self._ledger.buy if what == "label" else self._ledger.void
                return await self._change(what, partial(does, **names))
            case "POST", ["v1", "shipments", key, "scan"]:
                body = checks.body(request, "kind", "place", "message")
                said = {name: checks.text(body, name, longest=200) for name in ("place", "message")}
                return await self.desk.ask(partial(self._ledger.scan, shipment_key=key, kind=checks.kind(body), **said))
        return error(404, "no_such_page", f"There is no {request.method} at this address.")

    async def _asked(self, command: Command) -> Answer:
        """Answer what the shop asks, unless the carrier is down."""
        return await self.desk.ask(lambda: closed() if self._ledger.is_closed else command())

    async def _change(self, what: str, command: Command) -> Answer:
        """Do what changes something: turned away now and then, and as late as was asked for."""
        if what == "label" and random.random() < self._options.failure_rate:  # noqa: S311 no secret
            return turned_away()
        answer = await self._asked(command)
        if self._options.latency_seconds and "Idempotency-Replayed" not in answer.headers:
            await asyncio.sleep(self._options.latency_seconds)
        return answer

    def _announce(self, request: Request) -> Command:
        key = checks.idempotency_key(request)
        body = checks.body(request, "to", "weight_grams", "service", "reference")
        return partial(
            self._ledger.announce,
            key=key,
            address=checks.address(body),
            weight_grams=checks.weight(body),
            service=checks.text(body, "service"),
            known_as=checks.text(body, "reference"),
        )

    def _rates(self, request: Request) -> Command:
        body = checks.body(request, "to", "weight_grams")
        to, grams = checks.address(body), checks.weight(body)
        abroad = to["country"] not in {"", HOME}
        offered = [
            {"service": service, "days_min": max(days[abroad] - 2, 1), "days_max": days[abroad]}
            for service, (heaviest, *days) in SERVICES.items()
            if grams <= heaviest
        ]
        return partial(Answer, 200, {"rates": sorted(offered, key=lambda one: int(str(one["days_max"])))})


async def _run(chosen: options.Options, listener: socket.socket, ledger: Ledger) -> None:
    service = Service(ledger, chosen)
    desk, alive, told = service.desk, courier.Sleeper(), courier.Sleeper()
    desk.sleepers = [alive, told]
    beside = [courier.live(desk.ask, ledger.live, alive)]
    if chosen.webhooks is not None:
        beside.append(courier.deliver(desk.ask, ledger.telling, chosen.webhooks, told))
    connections = serving.Connections(service.answer, lost_answer_seconds=chosen.lost_answer_seconds)
    await serving.run(desk, connections, listener, who="The sandbox carrier", data=chosen.data, beside=beside)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    logging.basicConfig(format="sandbox carrier: %(message)s", level=logging.WARNING)
    try:
        chosen = options.read(arguments)
        listener = serving.listen(chosen.host, chosen.port)
        here = chosen.terms.public_url or serving.address_of(listener)
        ledger = Ledger(chosen.data, replace(chosen.terms, public_url=here))
    except (BadOption, LedgerUnusable) as problem:
        sys.stderr.write(f"The sandbox carrier can't start: {problem}\n")
        return 1
    asyncio.run(_run(chosen, listener, ledger))
    return 0
