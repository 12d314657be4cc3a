"""What is drawn as a code is what a scanner reads on the rendered page."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.paper import codes
from marketplace.paper.sheets import LABEL, Sheets
from marketplace.paper.testing import pages


def read(draw):
    sheets = Sheets(LABEL, title="codes")
    sheets.page()
    draw(sheets)
    [page] = pages(sheets.finished())
    return page.codes


@pytest.mark.parametrize(
    "text",
    ["A", "1Z999AA10123456784", "M-100042", "00340434161094042557", "a b~!", "X" * 24, "12345",
     "99", "9908", "9907X", "9" * 7, "99a", "9a"],
)  # fmt: skip
def test_code_128(text):
    assert read(lambda sheets: codes.code128(sheets, text, x=0, y=10, width=101.6, height=23)) == (("Code128", text),)


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=2, max_size=20))
def test_any_code_128(text):
    assert read(lambda sheets: codes.code128(sheets, text, x=0, y=10, width=101.6, height=23)) == (("Code128", text),)


@pytest.mark.parametrize("text", ["1", "https://example.com/track/1Z999AA10123456784?x=1", "Straße 5, Łódź", "x" * 300])
def test_qr(text):
    assert read(lambda sheets: codes.qr(sheets, text, x=5, y=10, side=60)) == (("QRCode", text),)


@pytest.mark.parametrize("text", ["", "Łódź", "a\nb", "x" * 49])
def test_what_is_no_code_128(text):
    with pytest.raises(codes.NotEncodable):
        read(lambda sheets: codes.code128(sheets, text, x=0, y=0, width=100, height=20))


@pytest.mark.parametrize("text", ["", "x" * 501])
def test_what_is_no_qr(text):
    with pytest.raises(codes.NotEncodable):
        read(lambda sheets: codes.qr(sheets, text, x=0, y=0, side=50))
