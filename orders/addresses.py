"""Where an order goes: to where its buyer said and, once there is a parcel, to where that goes.

Staff may correct a parcel's address, or fill one in. What the buyer gave stays on the order's row: fraud rules have
judged it, the invoice was issued to it, and a bank may ask for it years later. Whoever asks where an order goes is told
of the parcel: its buyer, mails, the API and the admin.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from fulfillment.carriers.base import Address
from fulfillment.selectors import ShipmentView


def address_of(given: Mapping[str, Any] | None) -> Address:
    """Return the address that a buyer gave, as carriers take it; what is not known is empty."""
    known = given or {}
    return Address(**{field.name: str(known.get(field.name) or "") for field in fields(Address)})


def goes_to(given: dict[str, Any] | None, parcel: ShipmentView | None) -> dict[str, Any] | None:
    """Return where an order goes whose buyer `given` this address; None where nobody has said."""
    if parcel is None or parcel.address == address_of(given):
        return given
    told = asdict(parcel.address)
    return told if told["line2"] else {name: value for name, value in told.items() if name != "line2"}


def in_a_line(address: Address) -> str:
    """Write an address for staff."""
    town = f"{address.postal_code} {address.city}".strip()
    return ", ".join(filter(None, (address.name, address.line1, address.line2, town, address.country))) or "nowhere"
