"""What became of handing over a letter. A final no, a not-now and a nobody-there are three different things."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sent:
    """The server has taken it, and answers for it now."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A final no to this letter: such an address there is not, say."""

    why: str


@dataclass(frozen=True, slots=True)
class Unwritable:
    """It can't be written down as a mail: an address that is none, say. Nobody was asked to take it."""

    why: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """A no to this letter that may be a yes later; nothing was taken."""

    why: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody is there, or nobody lets us in: true of every other letter too, and nothing was taken."""

    why: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The letter was handed over, and no answer came: perhaps it is taken."""

    why: str


Outcome = Sent | Refused | Unwritable | NotNow | Unavailable | Unknown
