"""The words on invoices and credit notes, by language. Where there are none, they are English."""

from dataclasses import dataclass
from typing import Final

from babel import Locale


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language; what is in braces is filled in."""

    invoice: str
    credit_note: str
    number: str
    date: str
    order: str
    for_invoice: str  # a credit note is
    of_date: str
    guest: str
    position: str
    product: str
    sku: str
    quantity: str
    each: str
    amount: str
    total: str
    credited: str
    net: str
    includes_tax: str
    tax_free: str
    paid: str
    given_back: str
    tax_id: str
    page: str
    continued: str
    reasons: dict[str, str]
    partly: str

    def reason(self, given: str) -> str:
        """A known code as a sentence; any other reason is one already."""
        return self.reasons.get(given, given)


_ENGLISH: Final = Words(
    invoice="Invoice",
    credit_note="Credit note",
    number="Number",
    date="Date",
    order="Order",
    for_invoice="For invoice",
    of_date="of {date}",
    guest="Guest",
    position="#",
    product="Product",
    sku="SKU",
    quantity="Units",
    each="Each",
    amount="Amount",
    total="Total",
    credited="Total credited",
    net="Net amount",
    includes_tax="Includes {percent} VAT",
    tax_free="No VAT",
    paid="Paid in full; nothing is due.",
    given_back="The amount goes back the way it was paid.",
    tax_id="VAT ID {id}",
    page="Page {page} of {pages}",
    continued="{title} {number}",
    reasons={
        "cancelled_by_buyer": "The order was cancelled at the buyer’s wish.",
        "cancelled_by_staff": "The order was cancelled by us.",
        "cannot_ship": "We could not ship the order.",
        "payment_reversed": "The payment was taken back by the bank.",
        "payment_disputed": "The payment was disputed at the bank.",
        "refunded": "We have refunded it.",
    },
    partly="Part of the price",
)

_GERMAN: Final = Words(
    invoice="Rechnung",
    credit_note="Rechnungskorrektur",
    number="Nummer",
    date="Datum",
    order="Bestellung",
    for_invoice="Zu Rechnung",
    of_date="vom {date}",
    guest="Gast",
    position="Pos.",
    product="Artikel",
    sku="Art.-Nr.",
    quantity="Menge",
    each="Einzelpreis",
    amount="Betrag",
    total="Gesamtbetrag",
    credited="Gutgeschrieben",
    net="Nettobetrag",
    includes_tax="Enthält {percent} MwSt.",
    tax_free="Keine MwSt.",
    paid="Der Betrag ist vollständig bezahlt; es ist nichts mehr fällig.",
    given_back="Der Betrag geht auf dem Weg zurück, auf dem er bezahlt wurde.",
    tax_id="USt-IdNr. {id}",
    page="Seite {page} von {pages}",
    continued="{title} {number}",
    reasons={
        "cancelled_by_buyer": "Die Bestellung wurde auf Wunsch des Kunden storniert.",
        "cancelled_by_staff": "Die Bestellung wurde von uns storniert.",
        "cannot_ship": "Wir konnten die Bestellung nicht versenden.",
        "payment_reversed": "Die Bank hat die Zahlung zurückgeholt.",
        "payment_disputed": "Der Zahlung wurde bei der Bank widersprochen.",
        "refunded": "Wir haben ihn erstattet.",
    },
    partly="Teil des Preises",
)

_BY_LANGUAGE: Final = {"en": _ENGLISH, "de": _GERMAN}
LANGUAGES: Final = tuple(_BY_LANGUAGE)


def words_of(locale: Locale) -> Words:
    """Return the words for `locale`."""
    return _BY_LANGUAGE.get(locale.language, _ENGLISH)
