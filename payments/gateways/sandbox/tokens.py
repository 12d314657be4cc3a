"""What each test token does at the sandbox gateway."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an authorization with this token goes."""

    decline_code: str = ""
    decline_message: str = ""
    tries_turned_away: int = 0  # so many first tries of a key are answered 503, and nothing happens
    loses_first_answer: bool = False  # the charge happens, but its answer never reaches the one who asked


TOKENS: Final[Mapping[str, Behaviour]] = {
    "tok_visa": Behaviour(),
    "tok_declined": Behaviour("card_declined", "The card was declined."),
    "tok_insufficient_funds": Behaviour("insufficient_funds", "There is not enough money on the card."),
    "tok_flaky": Behaviour(tries_turned_away=2),
    "tok_timeout": Behaviour(loses_first_answer=True),
    "tok_fraud": Behaviour(),  # a good card as far as a gateway can see; the shop's own check refuses it
}

UNKNOWN_TOKEN: Final = Behaviour("invalid_payment_method", "This payment method is not known here.")
