"""The errors that people and programs see.

    MarketplaceError            anything of ours that has a stable code
    ├── Refusal                 a business rule says no; asking again changes nothing
    │   ├── NotFound            there is no such thing, or not for you
    │   └── Conflict            it exists, but not in a state that allows this
    └── Unavailable             something we need does not answer; asking again later may help

A class's docstring is its default message. Data that a reader needs goes into keyword arguments. HTTP statuses are
mapped in one place, `marketplace.kernel.problems`.
"""

from typing import Any, ClassVar


class MarketplaceError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", **data: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.data = data
        super().__init__(self.message)


class Refusal(MarketplaceError):
    """This can't be done."""

    code = "refused"


class NotFound(Refusal):
    """There is no such thing here."""

    code = "not_found"


class Conflict(Refusal):
    """The current state does not allow this."""

    code = "conflict"


class Unavailable(MarketplaceError):
    """A service this depends on is not answering. Please try again in a moment."""

    code = "unavailable"
    retryable = True
