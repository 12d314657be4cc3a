"""What the sandbox gateway tells by webhook, and what of it goes without saying."""

import sqlite3
from typing import Final

from marketplace.sandbox import telling
from marketplace.sandbox.telling import Manner
from payments.gateways.sandbox.options import Terms

TYPES: Final = {
    "AUTHORIZE": "authorization.authorized",
    "DECLINE": "authorization.declined",
    "CAPTURE": "authorization.captured",
    "VOID": "authorization.voided",
    "EXPIRE": "authorization.voided",
    "REFUND": "authorization.refunded",
    "REVERSE": "authorization.reversed",
    "OPEN": "dispute.opened",
    "WON": "dispute.won",
    "LOST": "dispute.lost",
}


class Telling(telling.Telling):
    """The events in the ledger. Used inside its transactions, from its thread."""

    def __init__(self, db: sqlite3.Connection, terms: Terms) -> None:
        super().__init__(db, Manner(terms.duplicates, terms.disorder_seconds), subject="authorization_id")
        self._terms = terms

    def tell(self, row: sqlite3.Row, kind: str, *, by_bank: bool) -> None:
        """Write down that `kind` happened to the authorization `row`, unless it goes without saying."""
        if self._terms.tells and (by_bank or self._terms.tells_all):
            self.add(row["id"], TYPES[kind], {"key": row["key"], "reference": row["reference"]})
