"""Where parcels come from: what carriers are told, and what is printed on labels and packing slips."""

from django.conf import settings

from fulfillment.carriers.base import Address


def ship_from() -> Address:
    """The warehouse's address, as the settings have it (`SHIP_FROM_…`), under the seller's name."""
    return Address(
        name=settings.SELLER_NAME,
        line1=settings.SHIP_FROM_STREET,
        postal_code=settings.SHIP_FROM_POSTAL_CODE,
        city=settings.SHIP_FROM_CITY,
        country=settings.SHIP_FROM_COUNTRY,
    )
