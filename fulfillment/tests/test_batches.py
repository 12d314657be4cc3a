"""Batches: what one person has in hand is on nobody else's list."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import transaction

from fulfillment import batches
from fulfillment.errors import NothingToPick
from fulfillment.tests.warehouse import created, packed
from marketplace.kernel.clock import database_now
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
            second.result(timeout=10)
    assert numbers(first) == [view.number for view in views]


def test_what_is_left_is_picked_in_its_order():
    (mine, left, gone), [done] = created(3), packed()
    pick([mine])
    assert numbers(pick([done, gone, mine, left], who="walt")) == [gone.number, left.number]
    assert numbers(pick([mine], who="walt", in_hand=True)) == [mine.number]
    with pytest.raises(NothingToPick):
        pick([done], in_hand=True)
