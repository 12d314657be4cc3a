"""What an address does at the sandbox carrier: failures on demand, steered by what is written on the parcel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How it goes with a parcel to such an address; `told` says so on the page for people."""

    told: str = ""
    refuses: tuple[str, str] | None = None  # code and message of a label that can't be bought
    tries_turned_away: int = 0  # so many first tries of a label are answered 503, and nothing happens
    loses_first_answer: bool = False  # the label is bought, but its answer never reaches the one who asked


USUAL: Final = Behaviour()

# By the postal code, whatever the country.
POSTAL_CODES: Final[Mapping[str, Behaviour]] = {
    "00000": Behaviour(
        "nobody can be found there: the label can't be bought",
        refuses=("address_unknown", "This address can't be found. Please correct it."),
    ),
    "00001": Behaviour("the first two tries to buy a label are turned away (503)", tries_turned_away=2),
    "00002": Behaviour("the label is bought, and the answer is lost", loses_first_answer=True),
    "00003": Behaviour(
        "the address is found, and no service goes there",
        refuses=("not_served", "No service carries this parcel to this address."),
    ),
}


def of(postal_code: str) -> Behaviour:
    """What a parcel to that postal code does."""
    return POSTAL_CODES.get(postal_code.strip(), USUAL)
