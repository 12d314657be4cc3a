"""When a parcel would be at the door, as a shopper reads it before buying."""

from dataclasses import dataclass
from datetime import date

from django.utils import timezone

from fulfillment.selectors import carrier_name, estimate
from inventory.selectors import ProductView
from marketplace.storefront.forms import COUNTRIES


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
    names = dict(COUNTRIES)
    known = country if country in names else ""
    found = estimate(known, product.weight_grams * quantity)
    if found is None:
        return None
    today = timezone.now().date()
    where = names.get(known, "")
    return Arrival(found.earliest(today), found.latest(today), carrier_name(found.carrier), found.service, where)
