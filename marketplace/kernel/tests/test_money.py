import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.kernel.money import InvalidAmount, Money, exponent, format_minor


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1299.00", "EUR", 129900),
        ("1299", "EUR", 129900),
        ("0.1", "EUR", 10),
        ("-3.50", "EUR", -350),
        ("500", "JPY", 500),
        ("500.0", "JPY", 500),
        ("1.234", "KWD", 1234),
    ],
)
def test_an_amount_is_read_into_minor_units(text, currency, minor):
    assert Money.parse(text, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two",
        "1.005",
        "1e",
        "NaN",
        "Infinity",
        "-Infinity",
        "1,50",
        "0.001",
        "1e999999999",
        "1e-999999999",
        "1e2",
        " 1",
        "\uff11",
    ],
)
def test_an_amount_that_would_have_to_be_guessed_or_rounded_is_refused(text):
    with pytest.raises(InvalidAmount):
        Money.parse(text, "EUR")


def test_a_yen_has_no_fraction():
    with pytest.raises(InvalidAmount):
        Money.parse("500.5", "JPY")


@given(st.integers(min_value=-(10**15), max_value=10**15), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_what_is_written_reads_back(minor, currency):
    assert Money.parse(format_minor(minor, currency), currency) == Money(minor, currency)


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(129900, "EUR", "1299.00"), (5, "EUR", "0.05"), (-5, "EUR", "-0.05"), (500, "JPY", "500"), (1, "KWD", "0.001")],
)
def test_an_amount_is_written_with_exactly_the_decimals_of_its_currency(minor, currency, text):
    assert Money(minor, currency).amount == text
    assert str(Money(minor, currency)) == f"{text} {currency}"


def test_sums_keep_their_currency():
    assert Money(100, "EUR") + Money(250, "EUR") * 2 == Money(600, "EUR")
    with pytest.raises(ValueError, match="EUR and USD"):
        Money(100, "EUR") + Money(100, "USD")


def test_most_currencies_have_two_decimals():
    assert (exponent("EUR"), exponent("JPY"), exponent("KWD")) == (2, 0, 3)
