"""What the vault says no to.

    NotFound
    └── UnknownProduct
    Refusal
    ├── InvalidQuantity
    └── SheetRefused
    Conflict
    ├── NotEnoughAvailable
    ├── NotSold
    ├── StockMoved
    └── SheetOutdated

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


class NotSold(Conflict):
    """Fewer units are sold, and not back yet, than would come back."""

    code = "not_sold"


class StockMoved(Conflict):
    """Units have come or gone since the count began. Count again."""

    code = "stock_moved"


class SheetRefused(Refusal):
    """The sheet can't be taken in as it is."""

    code = "sheet_refused"


class SheetOutdated(Conflict):
    """The shop has changed since the sheet was shown. Look at what it would do now."""

    code = "sheet_outdated"
