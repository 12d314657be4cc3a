"""Packing slips, read back from the rendered page."""

import pytest

from fulfillment.documents import PackingSlip, SlipLine, print_slips
from marketplace.paper.addresses import PostalAddress
from marketplace.paper.sheets import LETTER
from marketplace.paper.testing import pages

SHOP = PostalAddress("Marketplace Demo GmbH", "Musterstraße 1", "10115", "Berlin", "DE")
BUYER = PostalAddress("Jörg Müßig", "Weg 3", "80331", "München", "DE")


def slip(count, number="M-100042", name="Becher „Größe L“", **more):
    lines = tuple(SlipLine(f"mug-{line}", name, line) for line in range(1, count + 1))
    return PackingSlip(number, SHOP, BUYER, lines, **more)


def test_says_what_is_to_go_into_the_parcel():
    [page] = pages(print_slips([slip(2)]))
    assert (round(page.width), round(page.height)) == (210, 297)
    assert page.codes == (("Code128", "M-100042"),)
    for words in ("Packing slip", "Order M-100042", "Jörg Müßig", "80331 München", "mug-2", "Becher „Größe L“"):
        assert words in page.text, words
    assert "Units in all: 3" in page.lines
    assert "Page 1 of 1" in page.text


def test_in_german_on_letter():
    [page] = pages(print_slips([slip(1, language="de")], size=LETTER))
    assert (round(page.width), round(page.height)) == (216, 279)
    assert "Packliste" in page.text
    assert "Seite 1 von 1" in page.text


@pytest.mark.parametrize("count", [*range(20, 32), 100])
def test_many_lines_run_over_several_pages_and_none_is_lost(count):
    printed = pages(print_slips([slip(count, name="A long name that takes more than one line of a packing slip " * 2)]))
    lines = [line for page in printed for line in page.lines]
    for number in range(1, count + 1):
        assert sum(f"mug-{number}" in line.split() for line in lines) == 1
    assert [f"Page {n} of {len(printed)}" in page.text for n, page in enumerate(printed, 1)] == [True] * len(printed)
    assert f"Units in all: {count * (count + 1) // 2:,}" in printed[-1].lines
    for page in printed:
        assert page.ink()[3] < 297 - 10
        above = [line for line in page.lines if "mug-" in line]
        assert above, "no page without a line"


def test_each_slip_is_in_its_own_language():
    german = slip(1, "M-1", language="de")
    printed = pages(
        print_slips([german, slip(1, "M-2"), slip(40, "M-3", language="de-AT"), slip(1, "M-4", language="fr")])
    )
    titles = [next((word for word in ("Packliste", "Packing slip") if word in page.text), "") for page in printed]
    assert titles == ["Packliste", "Packing slip", "Packliste", "Packliste", "Packing slip"]
    assert ["Seite 2 von 2" in page.text for page in printed] == [False, False, False, True, False]


def test_each_slip_begins_on_a_page_of_its_own():
    printed = pages(print_slips([slip(40, "M-1"), slip(1, "M-2")]))
    assert [page.codes for page in printed] == [(("Code128", "M-1"),), (), (("Code128", "M-2"),)]
    assert "Page 1 of 1" in printed[-1].text
