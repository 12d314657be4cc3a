import pytest
from django.db import IntegrityError

from inventory.errors import SheetOutdated, SheetRefused
from inventory.models import Category, LedgerEntry, Product, Stock
from inventory.selectors import stock_discrepancies
from inventory.services import adjust, reserve
from inventory.sheets import services as sheets
from inventory.sheets.planning import Difference
from inventory.tests.books import levels, wants

pytestmark = pytest.mark.django_db

NEW = b"sku,name,category,price,currency,on_hand\nbulb,A bulb,home,1.50,EUR,30\n"


def take_in(content: bytes, now, *, digest: str | None = None):
    digest = sheets.preview(content).digest if digest is None else digest
    return sheets.take_in(content, digest=digest, now=now, actor="sam", reason="count of 2026")


def hold(sku: str, units: int, now) -> bool:
    return reserve([wants((sku, units))], now=now)[0].held


def problems(content: bytes) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.column, problem.what) for problem in sheets.preview(content).problems]


def written() -> bytes:
    return "".join(sheets.write()).encode()


def test_what_was_written_changes_nothing_when_read_again(stocked):
    stocked("lamp", 5, description="=1+1, “two”\nlines; and 'more'", low_stock_at=3)
    stocked("quoted", 0, name="'80s lamp", description="'=x", is_active=False)
    stocked("dinar", 1, currency="KWD", price_minor=1234)
    stocked("yen", 1, currency="JPY", price_minor=500)
    plan = sheets.preview(written())
    assert (plan.changes, plan.problems, plan.unchanged) == ([], [], 4)


def test_no_spreadsheet_program_is_given_a_formula(stocked):
    stocked("lamp", name="=HYPERLINK(1)", description="@SUM(1)", image="-1")
    line = written().decode().splitlines()[1]
    assert line.startswith("lamp,'=HYPERLINK(1),'@SUM(1),home,49.00,EUR,'-1,")


def test_a_preview_changes_nothing(stocked):
    stocked("lamp", 5)
    plan = sheets.preview(NEW + b"lamp,Another,home,9.99,EUR,2\n")
    assert [(change.product.sku, change.is_new, change.delta) for change in plan.changes] == [
        ("bulb", True, 30),
        ("lamp", False, -3),
    ]
    assert plan.changes[1].differences == (
        Difference("name", "Lamp", "Another"),
        Difference("price", "49.00", "9.99"),
        Difference("on_hand", "5", "2"),
    )
    assert Product.objects.get().name == "Lamp"
    assert Stock.objects.get().on_hand == 5


def test_products_are_made_and_changed_and_their_stock_corrected(stocked, now):
    stocked("lamp", 5)
    stocked("untouched", 7)
    take_in(NEW + b"lamp,Another,home,9.99,EUR,2\nuntouched,Untouched,home,49.00,EUR,7\n", now)
    assert set(Product.objects.values_list("sku", "name", "price_minor", "is_active", "low_stock_at")) == {
        ("bulb", "A bulb", 150, True, 5),
        ("lamp", "Another", 999, True, 5),
        ("untouched", "Untouched", 4900, True, 5),
    }
    assert set(Stock.objects.values_list("product_id", "on_hand", "available", "reserved")) == {
        ("bulb", 30, 30, 0),
        ("lamp", 2, 2, 0),
        ("untouched", 7, 7, 0),
    }
    counted = LedgerEntry.objects.filter(actor="sam").order_by("sku")
    assert list(counted.values_list("sku", "kind", "available_delta", "reason")) == [
        ("bulb", "ADJUST", 30, "count of 2026"),
        ("lamp", "ADJUST", -3, "count of 2026"),
    ]
    assert stock_discrepancies() == []


def test_a_column_that_is_not_there_and_an_empty_cell_leave_things_as_they_are(stocked, now):
    stocked("lamp", 5, description="Bright.", weight_grams=800)
    take_in(b"sku,description,weight_grams,for_sale\nlamp,,900,no\n", now)
    lamp = Product.objects.get()
    assert (lamp.description, lamp.weight_grams, lamp.is_active, lamp.name) == ("Bright.", 900, False, "Lamp")
    assert Stock.objects.get().on_hand == 5


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        (b"Bulb,A bulb,home,1.50,EUR,1", "sku", "lower-case"),
        (b",A bulb,home,1.50,EUR,1", "sku", "Empty."),
        (b"bulb,,home,1.50,EUR,1", "name", "Needed for a new product."),
        (b"bulb,A bulb,garden,1.50,EUR,1", "category", "no such category"),
        (b"bulb,A bulb,home,1.505,EUR,1", "price", "number"),
        (b'bulb,A bulb,home,"1,50",EUR,1', "price", "number"),
        (b"bulb,A bulb,home,-1,EUR,1", "price", "thousand million"),
        (b"bulb,A bulb,home,1000000000,EUR,1", "price", "thousand million"),
        (b"bulb,A bulb,home,1.50,EURO,1", "currency", "at most 3"),
        (b"bulb,A bulb,home,1,E1R,1", "currency", "three letters"),
        (b"bulb,A bulb,home,1.50,EUR,-1", "on_hand", "whole number"),
        (b"bulb,A bulb,home,1.50,EUR,1e3", "on_hand", "whole number"),
        (b"bulb,A bulb,home,1.50,EUR,1000001", "on_hand", "million"),
        (b"bulb,A bulb,home,1.50,EUR," + b"0" * 12 + b"9" * 30, "on_hand", "million"),
        (b"bulb,A bulb,home,1.50,EUR," + b"0" * 5000, "on_hand", "million"),
        ("bulb,A bulb,home,1.50,EUR,٣".encode(), "on_hand", "whole number"),
        (b"bulb," + b"x" * 121 + b",home,1.50,EUR,1", "name", "at most 120"),
        (b"lamp,Lamp,home,49,USD,5", "currency", "It is EUR"),
        (b"lamp,Lamp,home,49,EUR,1", "on_hand", "2 of them are held"),
    ],
)
def test_one_bad_line_stops_the_whole_sheet(stocked, now, line, column, says):
    stocked("lamp", 5)
    assert hold("lamp", 2, now)
    content = b"sku,name,category,price,currency,on_hand\nlamp,Better,home,39.00,EUR,4\n" + line + b"\n"
    if line.startswith(b"lamp"):
        content = content.replace(b"lamp,Better,home,39.00,EUR,4\n", b"")
    number = content.count(b"\n")
    [(found, where, what)] = problems(content)
    assert (found, where) == (number, column)
    assert says in what
    with pytest.raises(SheetRefused):
        take_in(content, now)
    assert list(Product.objects.values_list("sku", "name")) == [("lamp", "Lamp")]


def test_a_sku_twice_is_a_mistake(stocked):
    stocked("lamp", 5)
    assert problems(b"sku,name\nlamp,One\nlamp,Two\n") == [(3, "sku", "“lamp” was in line 2 already.")]


def test_a_sheet_is_not_taken_in_when_the_shop_has_changed_since_it_was_shown(stocked, now):
    stocked("lamp", 5)
    content = b"sku,on_hand\nlamp,3\n"
    seen = sheets.preview(content).digest
    assert hold("lamp", 1, now)  # what is held is still in the house
    assert sheets.preview(content).digest == seen
    adjust(sku="lamp", delta=-1, now=now, actor="pat", reason="broken")
    with pytest.raises(SheetOutdated):
        take_in(content, now, digest=seen)
    assert levels("lamp") == (4, 3, 1)


def test_a_product_that_somebody_makes_in_this_very_moment_is_an_outdated_sheet(stocked, now, monkeypatch):
    Category.objects.create(slug="home", name="Home")

    def beaten(*args, **kwargs):
        raise IntegrityError

    monkeypatch.setattr(type(Product.objects), "bulk_create", beaten)
    with pytest.raises(SheetOutdated):
        take_in(NEW, now)
    monkeypatch.undo()
    assert not Product.objects.exists()


def test_ten_thousand_lines_take_few_queries(stocked, now, django_assert_max_num_queries):
    stocked("lamp", 5)
    lines = b"".join(b"p-%d,Product %d,home,1.00,EUR,3\n" % (n, n) for n in range(2000))
    content = NEW + lines
    digest = sheets.preview(content).digest
    with django_assert_max_num_queries(30):
        take_in(content, now, digest=digest)
    assert Product.objects.count() == 2002
    assert Stock.objects.filter(on_hand=3).count() == 2000
