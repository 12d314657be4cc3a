"""A nursery over this test's database, the books that are looked at after each kill, and the matrix in print."""

import json
import os
from pathlib import Path

import pytest
from django.db.models import Sum

from marketplace.kernel.ids import new_id
from marketplace.operations.auditor import audit
from marketplace.sagas.testing.nursery import Nursery
from marketplace.sagas.testing.seams import Boundary
from orders.models import OrderLine
from payments.testing import SandboxServer
from tests.crash.scenarios import SKU
from tests.shop import Shop

WHOLE = os.environ.get("CRASH_MATRIX") == "whole"
SEED = os.environ["CRASH_SEED"]  # another sample every day, the same all day: see the conftest.py above all
RESULTS = Path(__file__).resolve().parents[2] / "test-results" / "crash.json"
PLENTY = 800
CELL = "a cell of the crash matrix"

_cells = []  # as JSON has them, because under pytest-xdist they come from other processes


class Bank(SandboxServer):
    """A sandbox gateway that can be given new books, so that all that is in them is of one test."""

    def open_new_books(self):
        self.stop()
        self.data = self.data.with_name(f"bank-{new_id()}")
        self.start()


@pytest.fixture(scope="session")
def the_bank(tmp_path_factory):
    server = Bank(tmp_path_factory.mktemp("crash") / "bank")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bank(the_bank, settings):
    """The bank, with new books."""
    the_bank.open_new_books()
    settings.PAYMENT_GATEWAY = "sandbox"
    settings.SANDBOX_GATEWAY_URL = the_bank.url
    settings.SANDBOX_API_KEY = the_bank.api_key
    return the_bank


@pytest.fixture
def outside(bank, sandbox_carrier):
    """What a process needs in its environment to find the bank and the carrier."""
    return {**bank.environment, **sandbox_carrier.environment}


@pytest.fixture
def crash_shop(bank, sandbox_carrier, transactional_db):
    """A shop with plenty of one product."""
    shop = Shop(bank)
    shop.stocked(SKU, PLENTY)
    return shop


@pytest.fixture(scope="session")
def nurseries():
    """The nurseries of this test run, by PAYMENT_ATTEMPTS, each once it was asked for: they hold no connections."""
    born = {}
    yield born
    for one in born.values():
        one.close()


@pytest.fixture
def attempts(request, settings):
    """How often an order of this test's scenario may be paid."""
    told = getattr(request.node, "callspec", None)
    settings.PAYMENT_ATTEMPTS = getattr(told.params.get("scenario"), "attempts", 1) if told else 1
    return settings.PAYMENT_ATTEMPTS


@pytest.fixture
def nursery(nurseries, attempts, process_environment, outside, tmp_path_factory):
    """Where workers of this test's shop are born. Needs a database to which is committed."""
    if attempts not in nurseries:
        environment = {
            **process_environment, **outside, "SAGA_RETRY_DELAY_SECONDS": "0", "PAYMENT_TIMEOUT_SECONDS": "2",
            "CARRIER_TIMEOUT_SECONDS": "2", "SAGA_LEASE_SECONDS": "600", "LOG_LEVEL": "ERROR",
            "PAYMENT_ATTEMPTS": str(attempts),
        }  # fmt: skip
        log = tmp_path_factory.mktemp("nursery") / "workers.log"
        nurseries[attempts] = Nursery(environment, log=log, load=["tests.crash.loaded"])
    return nurseries[attempts]


@pytest.fixture
def complaints(crash_shop):
    """Ask the auditor, and count the units."""

    def look():
        yield from (f"the auditor: {finding}" for finding in audit(ask_gateway=True).findings)
        _, reserved = crash_shop.levels(SKU)
        wanted = OrderLine.objects.filter(order__status="RESERVED").aggregate(units=Sum("quantity", default=0))["units"]
        if reserved != wanted:
            yield f"{reserved} units are held, and {wanted} of them for somebody"

    return look


@pytest.fixture
def report(record_property):
    """Take down a verdict for the table at the end."""
    return lambda verdict: record_property(CELL, verdict.as_json())


def pytest_runtest_logreport(report):
    if report.when == "call":
        _cells.extend(cell for name, cell in report.user_properties if name == CELL)


def pytest_report_header(config):
    return f"crash matrix: {'whole' if WHOLE else f'a sample, CRASH_SEED={SEED}'}"


def pytest_terminal_summary(terminalreporter):
    if not _cells:
        return
    write = terminalreporter.write_line
    terminalreporter.section("crash matrix")
    for line in table(_cells):
        write(line)
    RESULTS.parent.mkdir(exist_ok=True)
    body = {"whole": WHOLE, "seed": SEED, "ok": all(cell["ok"] for cell in _cells), "cells": _cells}
    RESULTS.write_text(json.dumps(body, indent=2) + "\n")
    failed = sum(not cell["ok"] for cell in _cells)
    seconds = sum(cell["seconds"] for cell in _cells)
    write(f"{len(_cells)} kills, {failed} of them left a mark; {seconds:.0f} s. Written to {RESULTS.name}.")
    if not WHOLE:
        write(f"This was a sample; CRASH_SEED={SEED} draws it again, `make crash` kills everywhere.")


def table(cells):
    """Scenario by scenario: a row for each step and direction, a column for each boundary."""
    rows = {}
    for cell in cells:
        said = "ok" if cell["ok"] else "FAILED"
        place = f"-{cell['step']}" if cell["direction"] == "compensating" else cell["step"]
        rows.setdefault((cell["definition"], cell["scenario"], place), {})[cell["boundary"]] = said
    yield f"{'':36}{'before the':>12}{'after the':>12}{'before the':>12}{'after the':>12}{'before the':>17}"
    yield f"{'':36}{'effect':>12}{'effect':>12}{'commit':>12}{'commit':>12}{'acknowledgement':>17}"
    told = None
    for (definition, scenario, place), said in rows.items():
        if told != scenario:
            told = scenario
            yield f"{definition}: {scenario}"
        *marks, last = (said.get(boundary.value, "·") for boundary in Boundary)
        yield f"  {place:34}" + "".join(f"{mark:>12}" for mark in marks) + f"{last:>17}"
