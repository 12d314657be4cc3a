"""Passing scans on: each is told at least once, whatever becomes of others who are telling at the same time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import transaction

from fulfillment import scanning
from fulfillment.carriers.base import Scan as Said
from fulfillment.carriers.base import ScanKind
from fulfillment.models import Scan
from fulfillment.tests.warehouse import NOW, packed
from tests.locks import aside

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_scan_that_another_worker_fails_to_tell_is_told_by_the_next(monkeypatch):
    """Two workers tell at once. The first has one scan in hand, and dies: that scan still waits to be told."""
    heard = []
    monkeypatch.setattr(scanning, "_listeners", [lambda told: heard.extend(scan.event_id for scan in told)])
    [parcel] = packed()
    said = [Said(f"scan-{n}", ScanKind.IN_TRANSIT, NOW) for n in (1, 2)]
    with transaction.atomic():
        scanning.take_in([scanning.News(parcel.id, said)], now=NOW)
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        assert Scan.objects.select_for_update().get(event_id="scan-1")  # as a worker has it that is telling it
        second = pool.submit(aside, lambda: scanning.pass_on(now=NOW))
        told = second.result(timeout=60)  # it waits for nobody
        transaction.set_rollback(True)
    assert (told, heard) == (1, ["scan-2"])
    assert scanning.pass_on(now=NOW) == 1
    assert heard == ["scan-2", "scan-1"]


@pytest.fixture
def heard(monkeypatch):
    """The scans that were passed on; whoever listens stumbles over those called "bad…"."""
    ids = []

    def listener(told):
        if any(scan.event_id.startswith("bad") for scan in told):
            raise ZeroDivisionError("unforeseen")
        ids.extend(scan.event_id for scan in told)

    monkeypatch.setattr(scanning, "_listeners", [listener])
    return ids


def scanned(*event_ids):
    [parcel] = packed()
    with transaction.atomic():
        said = [Said(event_id, ScanKind.IN_TRANSIT, NOW) for event_id in event_ids]
        scanning.take_in([scanning.News(parcel.id, said)], now=NOW)


def test_scans_that_can_not_be_told_hold_up_none_that_come_after_them(heard):
    scanned("bad-1", "bad-2", "good-1", "good-2")
    assert scanning.pass_on(now=NOW, limit=2) == 0
    assert scanning.pass_on(now=NOW, limit=2) == 2
    assert heard == ["good-1", "good-2"]
    assert scanning.pass_on(now=NOW, limit=2) == 0  # nothing is due
    told = scanning.stuck().order_by("id").values_list("event_id", "tries", "trouble")
    assert list(told) == [(name, 1, "ZeroDivisionError: unforeseen") for name in ("bad-1", "bad-2")]


def test_one_that_is_stuck_is_tried_again_after_growing_pauses_and_told_once_that_can_be(heard, monkeypatch):
    scanned("bad")
    now, pauses = NOW, []
    for _ in range(12):
        scanning.pass_on(now=now)
        due = Scan.objects.get().tell_again_at
        pauses.append((due - now).total_seconds())
        assert scanning.pass_on(now=due - timedelta(microseconds=1)) == 0
        now = due
    assert (Scan.objects.get().tries, pauses[:3], pauses[-1]) == (12, [2.0, 4.0, 8.0], 900.0)
    monkeypatch.setattr(scanning, "_listeners", [])
    assert scanning.hurry([Scan.objects.get().id]) == 1
    assert scanning.pass_on(now=NOW) == 1
    scan = Scan.objects.get()
    assert (scan.told_at, scan.tell_again_at, scan.trouble) == (NOW, None, "")
    assert scanning.hurry([scan.id]) == 0
