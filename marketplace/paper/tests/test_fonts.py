"""What can be written, and how it is broken into lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.paper import fonts
from marketplace.paper.sheets import A4, Sheets
from marketplace.paper.testing import pages

EUROPE = [
    "ÄÖÜäöüß ÆØÅ éèêëçœ ñ ãõ ¿¡", "ĄĆĘŁŃÓŚŹŻ ąćęłńóśźż", "ČĎĚŇŘŠŤŮŽ čďěňřšťůž", "ĂÂÎȘȚ ăâîșț ŐŰ őű",
    "İıĞğŞş ĐđĦħŊŋ ĀĒĢĪĶĻŅ", "Ðð Þþ Ŵŵ Ŷŷ", "ΑΒΓ άέήίόύώ ϊΰ", "Привіт Москва ґєії ђљњћџ ѓќѕ", "Nguyễn Thị Ắẵ",
    "€ £ ¥ ₺ ₽ ₴ ₹ — “ ” „ … ″ ½ №",
]  # fmt: skip


@pytest.mark.parametrize("text", EUROPE)
def test_the_letters_of_europe_are_written_and_can_be_read_back(text):
    assert fonts.printable(text) == text
    sheets = Sheets(A4, title="letters")
    sheets.page()
    sheets.text(10, 20, text)
    sheets.text(10, 30, text, bold=True)
    [page] = pages(sheets.finished())
    assert page.lines == [text, text]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Ångström", "Ångström"),  # an A and a ring become one letter
        ("北京", "BeiJing"),
        ("שלום", "slvm"),
        ("one\ntwo\tthree", "one two three"),
        ("a\x00b\u200bc\u202ed", "abcd"),
        ("\U0001f9a6", ":otter:"),
        ("\ue000", "?"),
    ],
)
def test_other_letters_are_spelled(text, written):
    assert fonts.printable(text) == written


@given(st.text())
def test_whatever_comes_can_be_printed(text):
    assert all(ord(letter) in fonts.load() for letter in fonts.printable(text))


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=200), st.floats(20, 100))
def test_lines_are_no_wider_than_asked_and_nothing_gets_lost(text, within):
    lines = fonts.wrap(text, within, 10)
    assert lines
    assert all(fonts.width(line, 10) <= within or len(line) == 1 for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(fonts.printable(text).split())


def test_text_that_is_too_wide_is_cut_with_an_ellipsis():
    assert fonts.cut("Marketplace", 100, 10) == "Marketplace"
    assert fonts.cut("Marketplace", 10, 10) == "Mar…"
