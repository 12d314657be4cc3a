"""The numbers that people call orders by."""

import pytest

from orders import numbers


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("104", "M-104"),
        (" m-104 ", "M-104"),
        ("M-104", "M-104"),
        ("m-1\0", "M-1"),
        ("", ""),
        ("tok", "TOK"),
    ],
)
def test_a_number_is_read_as_people_type_it(text, read):
    assert numbers.typed(text) == read
    assert numbers.typed(numbers.number(104)) == "M-104"
