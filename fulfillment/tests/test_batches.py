"""Batches: what one person has in hand is on nobody else's list, and what one prints is printed by nobody else."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import pytest
from django.db import transaction

from fulfillment import batches, printing
from fulfillment.errors import NothingToPick, NothingToPrint, PrintedElsewhere
from fulfillment.models import Batch, Shipment
from fulfillment.tests.warehouse import created, labelled, packed
from marketplace.kernel.clock import database_now
from marketplace.paper.testing import pages
from tests.locks import aside, waiting_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)


def pick(views, who="wanda", **more):
    return batches.pick([view.id for view in views], who=who, now=database_now(), **more)


def numbers(batch_id):
    return [view.number for view in batches.parcels(batch_id)]


def test_of_two_who_pick_the_same_at_once_one_has_it():
    views = created(3)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first = pick(views)
            second = pool.submit(aside, lambda: pick(views[::-1], who="walt"))
            waiting_for_a_lock(1)
        with pytest.raises(NothingToPick):
            second.result(timeout=60)
    assert numbers(first) == [view.number for view in views]


def test_what_is_left_is_picked_in_its_order():
    (mine, left, gone), [done] = created(3), packed()
    pick([mine])
    assert numbers(pick([done, gone, mine, left], who="walt")) == [gone.number, left.number]
    assert numbers(pick([mine], who="walt", in_hand=True)) == [mine.number]
    with pytest.raises(NothingToPick):
        pick([done], in_hand=True)


# --- printing ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow_printer(monkeypatch):
    """The first PDF is made slowly: what happens meanwhile is done by the function that the test puts in."""
    meanwhile = []

    def print_slowly(shipment_ids):
        for work in meanwhile[:]:
            meanwhile.remove(work)
            work()
        return printing.labels(shipment_ids)

    monkeypatch.setattr(batches, "printing", SimpleNamespace(labels=print_slowly, slips=printing.slips))
    return meanwhile


def labels_in(content):
    return len(pages(content))


def print_batch(batch_id, who="wanda"):
    return batches.print_labels(batch_id, who=who, now=database_now(), only_new=True)


def new_batch(views):
    with transaction.atomic():
        return batches.make([view.id for view in views], who="wanda", now=database_now())


@pytest.mark.parametrize("another_batch", [False, True])
def test_who_prints_the_new_labels_while_somebody_does_is_told_so(slow_printer, another_batch):
    views = labelled(2)
    batch = new_batch(views)
    other = new_batch(views[::-1]) if another_batch else batch

    def walt_prints():
        with pytest.raises(PrintedElsewhere):
            print_batch(other, who="walt")
        with pytest.raises(PrintedElsewhere):
            batches.print_new(who="walt", now=database_now())

    slow_printer.append(walt_prints)
    assert labels_in(print_batch(batch)) == 2
    with pytest.raises(NothingToPrint):
        print_batch(other, who="walt")
    with pytest.raises(NothingToPrint):
        batches.print_new(who="walt", now=database_now())
    assert labels_in(batches.print_labels(other, who="walt", now=database_now())) == 2  # once more, on purpose


def try_to_print_new(who):
    try:
        return labels_in(batches.print_new(who=who, now=database_now())[1])
    except (NothingToPrint, PrintedElsewhere):
        return 0


def test_of_two_who_print_all_that_is_new_at_once_one_does():
    labelled(3)
    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            Shipment.objects.select_for_update().first()
            both = [pool.submit(aside, partial(try_to_print_new, who)) for who in ("wanda", "walt")]
            waiting_for_a_lock(2)
        assert sorted(one.result(timeout=60) for one in both) == [0, 3]
    assert Batch.objects.count() == 1


def test_what_has_come_since_is_printed_by_the_next(slow_printer):
    labelled(2)
    told = []

    def walt_prints():
        labelled(1, first=2)
        told.append(labels_in(batches.print_new(who="walt", now=database_now())[1]))

    slow_printer.append(walt_prints)
    assert labels_in(batches.print_new(who="wanda", now=database_now())[1]) == 2
    assert told == [1]


def test_labels_that_could_not_be_printed_are_left_to_the_next_one_at_once(slow_printer):
    batch = new_batch(labelled(2))

    def jams():
        raise ZeroDivisionError

    slow_printer.append(jams)
    with pytest.raises(ZeroDivisionError):
        print_batch(batch)
    assert labels_in(print_batch(batch, who="walt")) == 2


def test_a_printer_that_died_keeps_them_for_two_minutes(slow_printer):
    batch = new_batch(labelled(2))
    slow_printer.append(lambda: sys.exit("killed"))
    with pytest.raises(SystemExit):
        print_batch(batch)
    with pytest.raises(PrintedElsewhere):
        print_batch(batch)
    later = database_now() + batches.PRINTING
    assert labels_in(batches.print_labels(batch, who="walt", now=later, only_new=True)) == 2
