"""The sandbox's payment tokens, as the test cards a shopper may choose from."""

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _


@dataclass(frozen=True, slots=True)
class TestCard:
    """A token of the sandbox gateway, the name it has in the shop, and what it does, in one line; both in English."""

    __test__ = False  # pytest takes a class of this name for tests

    token: str
    name: str
    what: str


CARDS: Final = (
    TestCard("tok_visa", _("Test card that works"), _("The bank says yes at once.")),
    TestCard("tok_declined", _("Card that is declined"), _("The bank says no. No money moves.")),
    TestCard("tok_insufficient_funds", _("Card without enough money"), _("The bank says no: not enough on it.")),
    TestCard("tok_timeout", _("Bank answers late"), _("The money is held, but the answer gets lost. We ask again.")),
    TestCard("tok_flaky", _("Flaky bank"), _("Out of order twice, then it works.")),
    TestCard("tok_requires_action", _("Card that asks you"), _("The bank wants you to confirm, on its own page.")),
    TestCard("tok_delayed_success", _("Slow bank"), _("It says yes, some seconds later.")),
    TestCard("tok_delayed_decline", _("Slow bank that says no"), _("It says no, some seconds later.")),
    TestCard("tok_late_rejection", _("Card whose bank changes its mind"), _("It pays, then takes the money back.")),
    TestCard("tok_fraud", _("Suspicious card"), _("The bank says yes, and warns: our check says no.")),
    TestCard("tok_review", _("Card that gets a second look"), _("Somebody of the shop looks at it before it is paid.")),
    TestCard("tok_visa_us", _("American card"), _("It works; the bank tells where it is from.")),
)
PAYPAL: Final = "paypal"  # the method of whoever approves on PayPal's page
DEFAULT_CARD: Final = CARDS[0]
_BY_TOKEN: Final = {card.token: card for card in CARDS}


def card_name(token: str) -> str:
    """Return what the card behind `token` is called in the shop; a token the shop does not know is simply a card."""
    if token == PAYPAL:
        return "PayPal"
    card = _BY_TOKEN.get(token)
    return gettext(card.name) if card else gettext("Card")
