"""Passing scans on: each is told at least once, whatever becomes of others who are telling at the same time."""

from concurrent.futures import ThreadPoolExecutor

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
        told = second.result(timeout=10)  # it waits for nobody
        transaction.set_rollback(True)
    assert (told, heard) == (1, ["scan-2"])
    assert scanning.pass_on(now=NOW) == 1
    assert heard == ["scan-2", "scan-1"]
