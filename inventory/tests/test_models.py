"""The database keeps the promises, whoever writes: these go around every service, in raw SQL."""

import pytest
from django.db import IntegrityError, connection, transaction

from inventory.models import LedgerEntry, Reservation
from inventory.services import adjust, reserve
from inventory.tests.books import EXPIRY, ledger, levels, wants
from marketplace.kernel.ids import new_id

pytestmark = pytest.mark.django_db


def refused_by(constraint: str, statement: str, *values: object) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.mark.core
@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("available = -1, on_hand = -1", "inventory_stock_available_not_negative"),
        ("reserved = -1, on_hand = 4", "inventory_stock_reserved_not_negative"),
        ("available = available - 1", "inventory_stock_adds_up"),
        ("reserved = reserved + 1", "inventory_stock_adds_up"),
        ("on_hand = on_hand + 1", "inventory_stock_adds_up"),
        ("available = available - 6, on_hand = on_hand - 6", "not_negative"),
    ],
)
def test_levels_can_be_neither_negative_nor_at_odds(stocked, change, constraint):
    stocked("lamp", 5)
    refused_by(constraint, f"UPDATE inventory_stock SET {change} WHERE sku = 'lamp'")  # noqa: S608 (the cases above)
    assert levels("lamp") == (5, 5, 0)


@pytest.mark.core
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE inventory_ledger SET available_delta = 50",
        "UPDATE inventory_ledger SET reason = 'nothing to see here'",
        "DELETE FROM inventory_ledger",
    ],
)
def test_the_ledger_can_not_be_rewritten(stocked, statement):
    stocked("lamp", 5)
    refused_by("append-only", statement)
    assert ledger("lamp") == [("RECEIVE", 5, 0)]


def test_the_ledger_can_not_be_rewritten_through_the_orm_either(stocked):
    stocked("lamp", 5)
    entry = LedgerEntry.objects.get()
    entry.available_delta = 6
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        entry.save()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        entry.delete()


@pytest.mark.parametrize(
    ("kind", "available", "reserved"),
    [
        ("RECEIVE", -1, 0),
        ("RECEIVE", 0, 0),
        ("RECEIVE", 1, 1),
        ("RESERVE", 1, -1),
        ("RESERVE", -2, 1),
        ("RELEASE", -1, 1),
        ("RELEASE", 1, 0),
        ("EXPIRE", 1, -2),
        ("COMMIT", 0, 1),
        ("COMMIT", 1, -1),
        ("RESTOCK", -1, 0),
        ("RESTOCK", 1, -1),
        ("ADJUST", 0, 0),
        ("ADJUST", 1, 1),
        ("GIFT", 1, 0),
    ],
)
def test_an_entry_moves_units_as_its_kind_says(kind, available, reserved):
    refused_by(
        "inventory_ledger_moves_as_its_kind_says",
        "INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, owner_id, reason, actor)"
        " VALUES ('lamp', %s, %s, %s, %s, '', '')",
        kind,
        available,
        reserved,
        new_id(),
    )


def test_an_entry_for_an_order_names_it():
    refused_by(
        "inventory_ledger_owner_where_one_is_due",
        "INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, reason, actor)"
        " VALUES ('lamp', 'RESERVE', -1, 1, '', '')",
    )


@pytest.mark.core
def test_an_owner_has_one_hold_on_a_sku_at_most(stocked):
    stocked("lamp", 5)
    request = wants(("lamp", 1))
    with transaction.atomic():
        reserve([request], now=EXPIRY)
    refused_by(
        "inventory_reservation_one_per_owner_and_sku",
        "INSERT INTO inventory_reservation (id, owner_id, sku, quantity, state, expires_at)"
        " VALUES (gen_random_uuid(), %s, 'lamp', 1, 'HELD', now())",
        request.owner_id,
    )
    assert Reservation.objects.count() == 1


@pytest.mark.parametrize(
    ("quantity", "state", "constraint"),
    [
        (0, "HELD", "inventory_reservation_quantity_positive"),
        (-1, "HELD", "inventory_reservation_quantity_positive"),
        (1, "LOST", "inventory_reservation_state_known"),
    ],
)
def test_a_reservation_is_of_something_and_in_a_known_state(quantity, state, constraint):
    refused_by(
        constraint,
        "INSERT INTO inventory_reservation (id, owner_id, sku, quantity, state, expires_at)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 'lamp', %s, %s, now())",
        quantity,
        state,
    )


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"price_minor": -1}, "inventory_product_price_not_negative"),
        ({"currency": "eur"}, "inventory_product_currency_code"),
        ({"sku": "Über lamp"}, "inventory_product_sku_is_plain"),
    ],
)
def test_a_product_is_plausible(stocked, fields, constraint):
    values = {"sku": "lamp"} | fields
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        stocked(values.pop("sku"), **values)


def test_a_sku_with_stock_can_not_vanish_from_the_catalogue(stocked):
    stocked("lamp", 5)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM inventory_product WHERE sku = 'lamp'; SET CONSTRAINTS ALL IMMEDIATE")


def test_rows_introduce_themselves(stocked, now):
    product = stocked("lamp", 5)
    with transaction.atomic():
        reserve([wants(("lamp", 2))], now=now)
    adjust(sku="lamp", delta=-1, now=now, actor="staff", reason="broken")
    assert str(product) == "Lamp"
    assert str(product.category) == "Home"
    assert str(product.stock) == "lamp: 2 available, 2 reserved"
    assert str(Reservation.objects.get()) == "2 x lamp, held"
    assert str(LedgerEntry.objects.latest("id")) == "lamp ADJUST -1 available, +0 reserved"
