import threading

import pytest
from django.db import connection, transaction

from marketplace.kernel.ids import new_id
from marketplace.outbox import leases
from marketplace.outbox.models import Relay, Shard

pytestmark = pytest.mark.django_db(transaction=True)

ALL = set(range(16))


@pytest.fixture(autouse=True)
def _shards(transactional_db, monkeypatch):
    monkeypatch.setattr(leases, "LEASE_SECONDS", 600.0)  # none lapses because the machine stands still for a while
    leases.make_shards()


def dies(relay_id):
    """Let a relay's leases lapse, as if it had been killed a while ago."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE outbox_shard SET leased_until = now() - interval '1 s' WHERE owner = %s", [relay_id])
        cursor.execute("UPDATE outbox_relay SET seen_until = now() - interval '1 s' WHERE id = %s", [relay_id])


def test_shards_are_made_once():
    Shard.objects.filter(number=3).update(fence=7)

    leases.make_shards()

    assert Shard.objects.count() == 16
    assert Shard.objects.get(number=3).fence == 7


def test_one_relay_alone_holds_everything():
    held = leases.balance(new_id())

    assert held == dict.fromkeys(range(16), 1)


def test_a_renewal_keeps_the_tokens_and_moves_the_end():
    relay = new_id()
    held = leases.balance(relay)
    before = Shard.objects.get(number=0).leased_until

    assert leases.balance(relay) == held
    assert Shard.objects.get(number=0).leased_until > before


def test_relays_come_to_share_evenly():
    first, second, third = new_id(), new_id(), new_id()
    leases.balance(first)
    assert leases.balance(second) == {}  # nothing is free yet

    assert len(leases.balance(first)) == 8
    assert len(leases.balance(second)) == 8
    leases.balance(third)
    shares = [set(leases.balance(relay)) for relay in (first, second, third)]

    assert sorted(map(len, shares)) == [4, 6, 6]
    assert set.union(*shares) == ALL


def test_no_shard_is_ever_held_twice():
    relays = [new_id() for _ in range(5)]
    held = {relay: set(leases.balance(relay)) for relay in relays}
    for _ in range(3):
        for relay in relays:
            held[relay] = set(leases.balance(relay))
            assert sum(map(len, held.values())) == len(set.union(*held.values()))
    assert set.union(*held.values()) == ALL


def test_a_dead_relay_is_taken_over_and_its_tokens_are_worth_nothing():
    dead, heir = new_id(), new_id()
    old = leases.balance(dead)
    dies(dead)

    held = leases.balance(heir)

    assert held.keys() == old.keys()
    assert all(held[number] == old[number] + 1 for number in held)
    assert leases.balance(dead) == {}


def test_a_relay_that_leaves_leaves_nothing_behind():
    relay, heir = new_id(), new_id()
    leases.balance(relay)

    leases.leave(relay)

    assert not Relay.objects.exists()
    assert set(leases.balance(heir)) == ALL


def test_relays_that_start_together_share_without_waiting_for_each_other():
    relays = [new_id() for _ in range(6)]
    held, start = {}, threading.Barrier(6)

    def balance(relay):
        start.wait(60)
        for _ in range(4):
            held[relay] = set(leases.balance(relay))
        connection.close()

    threads = [threading.Thread(target=balance, args=[relay]) for relay in relays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = {relay: set(leases.balance(relay)) for relay in relays}

    owned = Shard.objects.exclude(owner=None).values_list("number", "owner")
    assert {(number, relay) for relay in relays for number in final[relay]} <= set(owned)


def test_nobody_waits_for_a_row_that_another_relay_is_just_taking():
    leases.balance(first := new_id())
    dies(first)
    locked, done = threading.Event(), threading.Event()

    def hold_a_lock():
        with transaction.atomic():
            Shard.objects.select_for_update().get(number=5)
            locked.set()
            assert done.wait(60)
        connection.close()

    other = threading.Thread(target=hold_a_lock)
    other.start()
    assert locked.wait(60)
    held = leases.balance(new_id())
    done.set()
    other.join()

    assert set(held) == ALL - {5}
