"""When a parcel would be at the door, as a shopper reads it before buying."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from django.utils import timezone
from django.utils.translation import gettext_noop as _

from fulfillment.selectors import carrier_name, estimate
from inventory.selectors import ProductView
from marketplace.storefront.countries import country_name

_SERVICES: Final = (_("standard"), _("freight"))  # of our own carrier; those of others have names


@dataclass(frozen=True, slots=True)
class Arrival:
    """The days between which it is expected, who carries it, and where to."""

    earliest: date
    latest: date
    carrier: str
    service: str
    country: str


def arrival(product: ProductView, *, country: str = "", quantity: int = 1) -> Arrival | None:
    """Return when so many units would be there if they were ordered now; None: nobody carries them there.

    No country, or one that can't be chosen: the shop's own.
    """
    where = country_name(country)
    known = country if where else ""
    found = estimate(known, product.weight_grams * quantity)
    if found is None:
        return None
    today = timezone.now().date()
    return Arrival(found.earliest(today), found.latest(today), carrier_name(found.carrier), found.service, where)
