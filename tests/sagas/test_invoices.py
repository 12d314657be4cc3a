"""Orders get their invoices, and their credit notes, with the change that these are for."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, connection, transaction

from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import papers
from marketplace.operations.auditor.snapshot import snapshot
from marketplace.sagas.models import SagaInstance
from orders import refunding, services
from orders.errors import CreditKeyReused, CreditTooLarge, NotInvoiced
from orders.invoicing import issuing, selectors
from orders.invoicing import services as invoicing
from orders.models import CreditNote, Invoice, Order, Series
from tests.locks import aside, waiting_for_a_lock
from tests.shop import authorization_key

pytestmark = pytest.mark.django_db(transaction=True)


def without_year(number):
    """A number without its year, which may have ended since the test began: "000001", or "CN-000001"."""
    return re.sub(r"\b20\d\d-", "", number, count=1)


def findings():
    with snapshot():
        return [*papers.numbers_gapless(), *papers.confirmed_is_invoiced(), *papers.credits_add_up()]


def numbers(model=Invoice):
    return [row.sequence for row in model.objects.order_by("sequence")]


def test_a_confirmed_order_has_one(shop):
    shop.stocked("lamp", 5, price_minor=5950)
    shop.stocked("bulb", 5, price_minor=1000)
    order = shop.order_lines([("lamp", 2), ("bulb", 1)])
    with pytest.raises(NotInvoiced):
        selectors.invoice(order.id)
    shop.work()

    invoice = selectors.invoice(order.id)
    assert invoice.number == f"{issuing.year_of(invoice.issued_at)}-000001"
    assert (invoice.order_number, invoice.currency, invoice.total_minor) == (order.number, "EUR", 12900)
    assert (invoice.tax_percent, invoice.tax_minor) == (19, 2060)
    assert [(one.sku, one.name, one.quantity, one.price_minor) for one in invoice.lines] == [
        ("lamp", "The lamp", 2, 5950),
        ("bulb", "The bulb", 1, 1000),
    ]
    assert invoice.seller.name == "Marketplace Demo GmbH"
    assert findings() == []


def test_one_that_fails_has_none_and_leaves_no_gap(shop):
    shop.stocked("lamp", 5)
    tokens = ["tok_visa", "tok_declined", "tok_visa", "tok_fraud", "tok_visa"]
    orders = [shop.order("lamp", token=token) for token in tokens]
    shop.work()
    invoiced = [Invoice.objects.filter(pk=order.id).exists() for order in orders]
    assert invoiced == [True, False, True, False, True]
    assert numbers() == [1, 2, 3]
    assert findings() == []


def test_what_was_issued_says_the_same_for_ever(shop, settings):
    shop.stocked("lamp", 5)
    order = shop.bought("lamp")
    settings.SELLER_NAME, settings.SELLER_COUNTRY = "Another", "AT"
    settings.TAX_RATES = {"AT": 20}
    Order.objects.filter(pk=order.id).update(shipping_address={"name": "Somebody else"})
    Order.objects.get(pk=order.id).lines.update(product_name="Something else")

    invoice = selectors.invoice(order.id)
    assert (invoice.seller.name, invoice.tax_percent, invoice.address) == ("Marketplace Demo GmbH", 19, None)
    assert invoice.lines[0].name == "The lamp"
    for change in ({"total_minor": 1}, {"sequence": 7}, {"content": {}}, {"credited_minor": -1}):
        with pytest.raises(DatabaseError), transaction.atomic():
            Invoice.objects.filter(pk=order.id).update(**change)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM orders_invoice")

    second = shop.bought("lamp")
    assert selectors.invoice(second.id).seller.name == "Another"


def test_the_rate_is_that_of_the_country_the_goods_go_to(shop, settings):
    settings.TAX_RATES = {"DE": 19, "CH": 0}
    shop.stocked("lamp", 5)
    order = shop.order("lamp")
    address = {"name": "B", "line1": "S 1", "city": "Bern", "postal_code": "3000", "country": "CH"}
    Order.objects.filter(pk=order.id).update(shipping_address=address)
    shop.work()
    invoice = selectors.invoice(order.id)
    assert (invoice.tax_percent, invoice.tax_minor, invoice.address) == (0, 0, address)


# --- numbers ----------------------------------------------------------------------------------------------------------


def confirmed(number):
    return issuing.Confirmed(issuing.uuid5(issuing._NAMESPACE, number), number, "EUR", 100, "", None, ())


def issue(*names, now=None):
    issuing.issue([confirmed(name) for name in names], now=now or database_now())


def test_a_rollback_gives_the_numbers_back_to_who_waits_for_them():
    issue("a")

    def second():
        with transaction.atomic():
            issue("d")

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            issue("b", "c")
            waiter = pool.submit(aside, second)
            waiting_for_a_lock(1)
            transaction.set_rollback(True)
        waiter.result(60)
    assert [(row.sequence, row.content["order"]) for row in Invoice.objects.order_by("sequence")] == [
        (1, "a"),
        (2, "d"),
    ]


def test_workers_that_confirm_at_once_take_turns(shop):
    shop.stocked("hit", 200)
    orders = [shop.order("hit") for _ in range(120)]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(aside, shop.work) for _ in range(4)]:
            done.result(100)
    assert {shop.now(order).status for order in orders} == {"CONFIRMED"}
    assert numbers() == list(range(1, 121))
    assert Series.objects.get().last == 120
    assert findings() == []


def test_who_credits_several_waits_for_no_invoice_with_the_counter_in_hand(shop):
    shop.stocked("lamp", 5)
    first, second = shop.bought("lamp"), shop.bought("lamp")
    due = [SimpleNamespace(id=order.id, reference_id=order.id, amount_minor=10) for order in (first, second)]

    def both():
        with transaction.atomic():
            refunding.credit(due, now=database_now())

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Invoice.objects.select_for_update().get(pk=second.id)
            waiter = pool.submit(aside, both)
            waiting_for_a_lock(1)
            invoicing.credit(second.id, amount_minor=5, reason="Scratched.", key="s", now=database_now())
        waiter.result(60)
    assert sorted(CreditNote.objects.values_list("amount_minor", flat=True)) == [5, 10, 10]
    assert findings() == []


def test_what_fails_at_the_last_moment_takes_no_number(shop, monkeypatch):
    shop.stocked("lamp", 5)
    shop.bought("lamp")
    order = shop.order("lamp")
    really = issuing.issue

    def fails_for_one(confirmed, *, now):
        really(confirmed, now=now)
        if order.number in [one.number for one in confirmed]:
            raise RuntimeError("the power went out")

    monkeypatch.setattr("orders.desk.issue", fails_for_one)
    other = shop.order("lamp")  # in the same group
    shop.work()
    assert (shop.saga_status(order), shop.now(other).status) == ("NEEDS_ATTENTION", "CONFIRMED")
    assert numbers() == [1, 2]
    assert selectors.invoice(other.id).number.endswith("2")
    assert findings() == []


def test_each_year_begins_with_one_where_the_seller_is(settings):
    settings.INVOICE_TIME_ZONE = "Europe/Berlin"
    for name, now in (
        ("a", datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC)),
        ("b", datetime(2026, 12, 31, 23, 0, tzinfo=UTC)),  # midnight in Berlin
        ("c", datetime(2027, 1, 1, tzinfo=UTC)),
    ):
        issue(name, now=now)
    assert [row.number for row in Invoice.objects.order_by("year", "sequence")] == [
        "2026-000001", "2027-000001", "2027-000002",
    ]  # fmt: skip


def test_dates_are_in_the_order_of_the_numbers():
    late = database_now()
    issue("a", now=late)
    issue("b", now=late - timedelta(seconds=5))  # began earlier, and waited
    assert [row.issued_at for row in Invoice.objects.order_by("sequence")] == [late, late]


def test_a_gap_is_refused_by_the_database():
    issue("a")
    row = Invoice.objects.get()
    for sequence in (1, 3):
        with pytest.raises(DatabaseError), transaction.atomic():
            Invoice.objects.create(
                order_id=confirmed("x").order_id, year=row.year, sequence=sequence, issued_at=row.issued_at,
                seller_id=row.seller_id, currency="EUR", total_minor=1, tax_percent=0, tax_minor=0, content={},
            )  # fmt: skip
    with pytest.raises(DatabaseError), transaction.atomic():
        issue("a")
    assert (numbers(), Series.objects.get().last) == ([1], 1)


# --- credit notes -----------------------------------------------------------------------------------------------------


def test_a_cancelled_order_is_credited_whole(shop):
    shop.stocked("lamp", 5, price_minor=11900)
    order = shop.bought("lamp")
    services.cancel(order.id, actor="user-1", now=database_now())
    shop.work()
    assert shop.now(order).status == "CANCELLED"
    [note] = selectors.credit_notes(order.id)
    assert (without_year(note.number), note.amount_minor, note.tax_minor) == ("CN-000001", 11900, 1900)
    assert note.reason == "cancelled_by_buyer"
    assert selectors.invoice(order.id).credited_minor == 11900
    assert findings() == []


def test_after_partial_credits_the_rest_is_credited_and_the_tax_comes_out_even(shop):
    shop.stocked("lamp", 5, price_minor=10000)
    order = shop.bought("lamp")
    for part in (3333, 1, 2500):
        invoicing.credit(order.id, amount_minor=part, reason="A scratch.", key=f"refund:{part}", now=database_now())
    services.cannot_ship(order.id, reason="fire", actor="staff", now=database_now())
    shop.work()
    notes = selectors.credit_notes(order.id)
    assert [note.amount_minor for note in notes] == [3333, 1, 2500, 4166]
    assert sum(note.tax_minor for note in notes) == selectors.invoice(order.id).tax_minor == 1597
    assert (notes[0].reason, notes[-1].reason) == ("A scratch.", "cannot_ship")
    assert findings() == []


def test_a_part_is_credited_once_by_its_key_and_never_more_than_there_is(shop):
    shop.stocked("lamp", 5)
    order = shop.bought("lamp")

    def credit(amount, key):
        return invoicing.credit(order.id, amount_minor=amount, reason="r", key=key, now=database_now())

    assert credit(400, "k1") == credit(400, "k1")
    with pytest.raises(CreditKeyReused):
        credit(300, "k1")
    for amount in (601, 0, -1):
        with pytest.raises(CreditTooLarge):
            credit(amount, "k2")
    assert without_year(credit(600, "k3").number) == "CN-000002"
    with pytest.raises(CreditTooLarge):
        credit(1, "k4")
    services.cancel(order.id, actor="user-1", now=database_now())
    shop.work()
    assert len(selectors.credit_notes(order.id)) == 2  # nothing was left
    assert findings() == []


def test_two_credits_at_once_are_one_after_the_other(shop):
    shop.stocked("lamp", 5)
    order = shop.bought("lamp")

    def credit(key):
        try:
            invoicing.credit(order.id, amount_minor=600, reason="r", key=key, now=database_now())
        except CreditTooLarge:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: aside(lambda: credit(f"k{i % 2}")), range(4)))
    assert sorted(answers) == [False, False, True, True]  # one of the keys, by both who asked with it
    assert numbers(CreditNote) == [1]


def refund(shop, order, amount, key):
    services.refund(order.id, amount_minor=amount, reason="internal", actor="ada", key=key, now=database_now())
    shop.work()


def credited(order):
    return [(note.amount_minor, note.reason) for note in selectors.credit_notes(order.id)]


def test_refunds_by_staff_are_credited_once_each(shop):
    shop.stocked("lamp", 5)
    order = shop.bought("lamp")
    refund(shop, order, 300, "click-1")
    refund(shop, order, 300, "click-1")
    assert credited(order) == [(300, "refunded")]
    refund(shop, order, 100, "click-2")
    refund(shop, order, None, "click-3")
    assert credited(order) == [(300, "refunded"), (100, "refunded"), (600, "refunded")]
    notes = [without_year(number) for number in shop.now(order).papers.credit_notes]
    assert notes == ["CN-000001", "CN-000002", "CN-000003"]
    assert findings() == []


def test_a_cancel_after_a_partial_refund_credits_the_rest(shop):
    shop.stocked("lamp", 5)
    order = shop.bought("lamp")
    refund(shop, order, 300, "click-1")
    services.cancel(order.id, actor="user-1", now=database_now())
    shop.work()
    assert credited(order) == [(300, "refunded"), (700, "cancelled_by_buyer")]
    assert findings() == []


def test_a_refund_at_the_gateways_own_dashboard_is_credited(shop):
    shop.stocked("lamp", 5)
    order = shop.bought("lamp")
    of = authorization_key(order.saga_id)
    shop.gateway.gateway().refund(key="dashboard", authorization_key=of, amount_minor=250)
    shop.bank_says(order)
    assert credited(order) == [(250, "refunded")]
    shop.gateway.gateway().refund(key="dashboard-2", authorization_key=of, amount_minor=None)
    shop.bank_says(order)
    shop.work()
    assert sum(amount for amount, _ in credited(order)) == 1000
    assert findings() == []


def test_an_order_without_an_invoice_is_not_credited(shop):
    shop.stocked("lamp", 5)
    order = shop.bought("lamp", token="tok_declined")
    assert invoicing.credit(order.id, amount_minor=1, reason="r", key="k", now=database_now()) is None


def test_a_late_payment_is_invoiced_when_the_order_lives_again(shop):
    shop.stocked("lamp", 5)
    order = shop.bought("lamp", token="")
    past = database_now() - timedelta(seconds=1)
    SagaInstance.objects.filter(pk=order.saga_id).update(wait_until=past, due_at=past)
    shop.work()
    assert (shop.now(order).status, numbers()) == ("CANCELLED", [])
    shop.paid_elsewhere(order)
    shop.work()
    assert (shop.now(order).status, numbers()) == ("CONFIRMED", [1])
    assert findings() == []


# --- orders of earlier code -------------------------------------------------------------------------------------------


def test_what_was_confirmed_before_there_were_invoices_gets_them_later(shop, monkeypatch):
    shop.stocked("lamp", 9)
    with monkeypatch.context() as before:
        before.setattr("orders.desk.issue", lambda confirmed, *, now: None)
        old = [shop.bought("lamp"), shop.bought("lamp")]
    new = shop.bought("lamp")
    assert len(findings()) == 2
    monkeypatch.setattr(invoicing, "BATCH", 1)
    assert invoicing.issue_missing(now=database_now()) == 2
    assert [selectors.invoice(one.id).number[-1] for one in (new, *old)] == ["1", "2", "3"]
    assert selectors.invoice(old[0].id).lines[0].name == "The lamp"
    assert invoicing.issue_missing(now=database_now()) == 0
    assert findings() == []


@pytest.fixture
def old(shop, monkeypatch):
    """Orders of a lamp each, confirmed as they were by code that knew of no invoices."""
    shop.stocked("lamp", 30)

    def confirmed(count):
        with monkeypatch.context() as before:
            before.setattr("orders.desk.issue", lambda confirmed, *, now: None)
            orders = [shop.order("lamp") for _ in range(count)]
            shop.work()
        assert numbers() == []
        return orders

    return confirmed


def issue_missing():
    return invoicing.issue_missing(now=database_now())


def test_several_who_write_the_missing_ones_at_once_write_each_once(old, monkeypatch):
    monkeypatch.setattr(invoicing, "BATCH", 2)
    old(30)
    with ThreadPoolExecutor(4) as pool:
        begun = [pool.submit(aside, issue_missing) for _ in range(4)]
        assert sum(one.result(60) for one in begun) == 30
    assert (numbers(), findings()) == (list(range(1, 31)), [])


def test_of_two_who_have_found_the_same_orders_the_second_finds_nothing_left_to_do(old):
    orders = old(3)
    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            Order.objects.select_for_update().get(pk=orders[0].id)
            begun = [pool.submit(aside, issue_missing) for _ in range(2)]
            waiting_for_a_lock(2)
        assert sorted(one.result(60) for one in begun) == [0, 3]
    assert (numbers(), findings()) == ([1, 2, 3], [])


def test_an_order_that_somebody_has_in_hand_is_waited_for(old):
    [order] = old(1)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Order.objects.select_for_update().get(pk=order.id)
            begun = pool.submit(aside, issue_missing)
            waiting_for_a_lock(1)
        assert begun.result(60) == 1
    assert findings() == []


def test_the_auditor_sees_what_is_missing(shop):
    shop.stocked("lamp", 5)
    order = shop.bought("lamp")
    Series.objects.update(last=2)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders_invoice DISABLE TRIGGER USER")
        cursor.execute("UPDATE orders_invoice SET credited_minor = 1, total_minor = 999")
        cursor.execute("ALTER TABLE orders_invoice ENABLE TRIGGER USER")
    codes = [finding.invariant for finding in findings()]
    assert codes == [papers.NUMBERS_GAPLESS, papers.CONFIRMED_IS_INVOICED, papers.CREDITS_ADD_UP]
    assert order.number in findings()[1].subject
