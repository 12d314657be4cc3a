"""What each test token does at the sandbox gateway."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Plan(StrEnum):
    """What the bank does by itself, some time later."""

    APPROVE = "APPROVE"
    DECLINE = "DECLINE"
    REVERSE = "REVERSE"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an authorization with this token goes."""

    decline_code: str = ""
    decline_message: str = ""
    tries_turned_away: int = 0  # so many first tries of a key are answered 503, and nothing happens
    loses_first_answer: bool = False  # the charge happens, but its answer never reaches the one who asked
    asks_the_buyer: bool = False  # on a page of the bank's, before anything is held
    decides_later: Plan | None = None
    after_capture: Plan | None = None
    risk: str = ""  # what the gateway's own check says of it: ELEVATED or HIGHEST
    card_country: str = ""  # where the card was issued, if the gateway tells


TOKENS: Final[Mapping[str, Behaviour]] = {
    "tok_visa": Behaviour(),
    "tok_declined": Behaviour("card_declined", "The card was declined."),
    "tok_insufficient_funds": Behaviour("insufficient_funds", "There is not enough money on the card."),
    "tok_flaky": Behaviour(tries_turned_away=2),
    "tok_timeout": Behaviour(loses_first_answer=True),
    "tok_requires_action": Behaviour(asks_the_buyer=True),
    "tok_delayed_success": Behaviour(decides_later=Plan.APPROVE),
    "tok_delayed_decline": Behaviour(decides_later=Plan.DECLINE),
    "tok_late_rejection": Behaviour(after_capture=Plan.REVERSE),
    "tok_fraud": Behaviour(risk="HIGHEST", card_country="BR"),  # authorized all the same, like all of these
    "tok_review": Behaviour(risk="ELEVATED"),
    "tok_visa_us": Behaviour(card_country="US"),
}

UNKNOWN_TOKEN: Final = Behaviour("invalid_payment_method", "This payment method is not known here.")
LATE_DECLINE: Final = ("card_declined", "The card was declined.")
NOT_CONFIRMED: Final = ("authentication_failed", "The payment was not confirmed at the bank.")
