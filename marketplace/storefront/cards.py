"""The sandbox's payment tokens, as the test cards a shopper may choose from."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class TestCard:
    """A token of the sandbox gateway, the name it has in the shop, and what it does, in one line."""

    __test__ = False  # pytest takes a class of this name for tests

    token: str
    name: str
    what: str
    digits: str


CARDS: Final = (
    TestCard("tok_visa", "Test card that works", "The bank says yes at once.", "4242"),
    TestCard("tok_declined", "Card that is declined", "The bank says no. No money moves.", "0002"),
    TestCard("tok_insufficient_funds", "Card without enough money", "The bank says no: not enough on it.", "9995"),
    TestCard("tok_timeout", "Bank answers late", "The money is held, but the answer gets lost. We ask again.", "0119"),
    TestCard("tok_flaky", "Flaky bank", "Out of order twice, then it works.", "0341"),
    TestCard("tok_requires_action", "Card that asks you", "The bank wants you to confirm, on its own page.", "3220"),
    TestCard("tok_delayed_success", "Slow bank", "It says yes, some seconds later.", "9979"),
    TestCard("tok_delayed_decline", "Slow bank that says no", "It says no, some seconds later.", "9987"),
    TestCard("tok_late_rejection", "Card whose bank changes its mind", "It pays, then takes the money back.", "5423"),
    TestCard("tok_fraud", "Suspicious card", "The bank says yes, and warns: our check says no.", "4954"),
    TestCard(
        "tok_review", "Card that gets a second look", "Somebody of the shop looks at it before it is paid.", "9235"
    ),
    TestCard("tok_visa_us", "American card", "It works; the bank tells where it is from.", "0093"),
)
PAYPAL: Final = "paypal"  # the method of whoever approves on PayPal's page
DEFAULT_CARD: Final = CARDS[0]
_BY_TOKEN: Final = {card.token: card for card in CARDS}


def card_name(token: str) -> str:
    """Return what the card behind `token` is called in the shop; a token the shop does not know is simply a card."""
    if token == PAYPAL:
        return "PayPal"
    card = _BY_TOKEN.get(token)
    return card.name if card else "Card"
