"""Labels, read back from the rendered page."""

from dataclasses import replace

import pytest

from fulfillment.documents import Label, print_labels
from marketplace.paper.addresses import PostalAddress
from marketplace.paper.codes import NotEncodable
from marketplace.paper.testing import pages

SHOP = PostalAddress("Marketplace Demo GmbH", "Musterstraße 1", "10115", "Berlin", "DE")
BUYER = PostalAddress("Łukasz Żółkiewski", "ul. Świętokrzyska 123/45", "00-120", "Warszawa", "PL")
LABEL = Label(SHOP, BUYER, "sandbox", "express", 1250, "SBX20261121000001DE", "M-100042", "https://track.example/SBX1")


def test_has_the_size_of_a_label_and_all_that_is_needed():
    [page] = pages(print_labels([LABEL]))
    assert (round(page.width, 1), round(page.height, 1)) == (101.6, 152.4)
    assert page.codes == (("Code128", "SBX20261121000001DE"), ("QRCode", "https://track.example/SBX1"))
    for line in (
        "SANDBOX", "EXPRESS", "Marketplace Demo GmbH", "Musterstraße 1", "10115 Berlin", "GERMANY", "Łukasz Żółkiewski",
        "ul. Świętokrzyska 123/45", "00-120 Warszawa", "POLAND", "1.25 kg", "M-100042", "SBX2 0261 1210 0000 1DE",
    ):  # fmt: skip
        assert line in page.text, line


def test_without_a_page_for_tracking_the_qr_code_has_the_number():
    [page] = pages(print_labels([replace(LABEL, tracking_url="")]))
    assert page.codes[1] == ("QRCode", LABEL.tracking_number)


@pytest.mark.parametrize(
    "to",
    [
        PostalAddress("N" * 100, "S" * 100, "P" * 20, "C" * 100, "DE", line2="L" * 100),
        PostalAddress("Word " * 20, "Street " * 14, "12345-6789", "Town " * 20, "US", line2="Floor " * 16),
        PostalAddress("山田太郎", "銀座1丁目", "104-0061", "東京都", "JP"),
        PostalAddress("", "", "", "", ""),
    ],
)
def test_the_longest_address_stays_in_its_place(to):
    """The codes can still be read, nothing runs over the edge, and every letter is there."""
    [page] = pages(print_labels([replace(LABEL, ship_to=to, service="extra " * 10, order_number="M-" + "9" * 18)]))
    assert [kind for kind, _ in page.codes] == ["Code128", "QRCode"]
    left, top, right, bottom = page.ink()
    assert left > 3
    assert top > 3
    assert right < 101.6 - 3
    assert bottom < 152.4 - 3
    for letter in "NSPL" if to.name.startswith("NN") else "":
        assert page.text.count(letter) >= 20


def test_many_are_one_document_in_their_order():
    labels = [replace(LABEL, tracking_number=f"SBX{number:08d}", tracking_url="") for number in range(30)]
    printed = pages(print_labels(labels))
    assert [page.codes[0][1] for page in printed] == [label.tracking_number for label in labels]


def test_many_share_the_letters():
    pdf = print_labels([replace(LABEL, tracking_number=f"SBX{number:08d}") for number in range(100)])
    assert len(pdf) < 100 * 10_000
    assert pdf.count(b"/FontFile2") == 2  # the letters are in it once, not a hundred times


def test_the_same_label_is_the_same_document():
    assert print_labels([LABEL]) == print_labels([LABEL])


def test_what_can_not_be_printed():
    with pytest.raises(ValueError, match="nothing"):
        print_labels([])
    with pytest.raises(NotEncodable):
        print_labels([replace(LABEL, tracking_number="")])


@pytest.mark.parametrize(("grams", "said"), [(1, "1 g"), (999, "999 g"), (1000, "1 kg"), (12345, "12.345 kg")])
def test_weights(grams, said):
    [page] = pages(print_labels([replace(LABEL, weight_grams=grams)]))
    assert said in page.lines
