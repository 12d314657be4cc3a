"""What the buyer reads: each failure has its words, and each says what became of the money."""

import pytest

from orders import wording

SHORT = {"shortages": [{"sku": "a", "name": "Lamp", "asked": 3, "available": 1},
                       {"sku": "b", "name": "Mug", "asked": 1, "available": 0}]}  # fmt: skip


@pytest.mark.parametrize("code", [*wording.SENTENCES, "something_new"])
@pytest.mark.parametrize("refund", wording.MONEY)
def test_every_failure_speaks_of_the_money(code, refund):
    words = wording.failure(code, {}, refund=refund)
    assert words.endswith(wording.MONEY[refund])
    assert "_" not in words


def test_a_shortage_is_told_line_by_line():
    assert wording.failure("out_of_stock", SHORT, refund="") == (
        "Out of stock. Lamp: you asked for 3, only 1 left. Mug: you asked for 1, none left. No money was taken."
    )


def test_a_decline_says_what_the_bank_said():
    words = wording.failure("payment_declined", {"message": "There is not enough money."}, refund="")
    assert words == "Payment failed. There is not enough money. No money was taken."


def test_a_rejected_buyer_is_not_accused():
    assert "fraud" not in wording.failure("fraud_rejected", {}, refund="").lower()
