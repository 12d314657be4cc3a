"""What the vault says no to.

    NotFound
    └── UnknownProduct
    Refusal
    └── InvalidQuantity
    Conflict
    └── NotEnoughAvailable

A reservation that doesn't fit is not an error but an answer: see `inventory.services.HoldResult`.
"""

from marketplace.kernel.errors import Conflict, NotFound, Refusal


class UnknownProduct(NotFound):
    """There is no such product in the catalogue."""

    code = "unknown_sku"


class InvalidQuantity(Refusal):
    """The quantity must be a whole number of units, from 1 to a million at a time."""

    code = "invalid_quantity"


class NotEnoughAvailable(Conflict):
    """Fewer units are available than would be taken away."""

    code = "not_enough_available"
