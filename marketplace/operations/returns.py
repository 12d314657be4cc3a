"""The measures of returns: what waits for staff, what is on its way for long, whose money is late, what share there is.

One query each, by partial indexes and off the newest parcels, for the dashboard and for Prometheus, so that they agree.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, Q

from marketplace.kernel import counting
from orders.models import Return
from orders.returns.models import OPEN

MONTH: Final = timedelta(days=30)
MOST_PARCELS: Final = 5000
MONEY_LATE: Final = timedelta(hours=1)  # it follows the parcel within seconds


@dataclass(frozen=True, slots=True)
class OpenReturns:
    """The returns that are not over, by what they wait for.

    `to_decide` wait for staff, the first of them until `decide_by`. `coming` are approved and not here; of those,
    `coming_long` have less than half of RETURN_PARCEL_DAYS left. Of the ones that are `here` the money is not back,
    since `here_since`.
    """

    to_decide: int
    decide_by: datetime | None
    coming: int
    coming_long: int
    here: int
    here_since: datetime | None

    def decision_is_urgent(self, *, now: datetime) -> bool:
        """Whether the first of those that wait has less than a quarter of RETURN_ANSWER_DAYS left."""
        return self.decide_by is not None and self.decide_by - now < timedelta(days=settings.RETURN_ANSWER_DAYS) / 4

    def money_is_late(self, *, now: datetime) -> bool:
        """Whether a parcel is here for so long that its money must be stuck."""
        return self.here_since is not None and now - self.here_since > MONEY_LATE


def open_returns(*, now: datetime) -> OpenReturns:
    """Measure the returns that are not over, the oldest `counting.MOST_READ` of them.

    One query, by the partial index `orders_returns_open`.
    """
    to_decide = Q(status="REQUESTED", verdict="")
    here = Q(received_at__isnull=False)
    coming = Q(verdict="APPROVED") & ~here
    long = Q(arrive_by__lt=now + timedelta(days=settings.RETURN_PARCEL_DAYS) / 2)
    oldest = Return.objects.filter(status__in=OPEN).order_by("answer_by")[: counting.MOST_READ]
    found = oldest.aggregate(
        to_decide=Count("pk", filter=to_decide),
        decide_by=Min("answer_by", filter=to_decide),
        coming=Count("pk", filter=coming),
        coming_long=Count("pk", filter=coming & long),
        here=Count("pk", filter=here),
        here_since=Min("received_at", filter=here),
    )
    return OpenReturns(**found)


@dataclass(frozen=True, slots=True)
class ReturnRate:
    """Of so many parcels `delivered` lately, the buyers of `returned` want to send something back, or have done so."""

    delivered: int
    returned: int

    @property
    def share(self) -> float | None:
        """The share of them, 0 to 1."""
        return self.returned / self.delivered if self.delivered else None


_RATE: Final = """
WITH newest AS MATERIALIZED (
    SELECT reference_id FROM fulfillment_shipment
    WHERE delivered_at >= statement_timestamp() - %s ORDER BY delivered_at DESC LIMIT %s)
SELECT count(*), count(*) FILTER (WHERE EXISTS (
    SELECT FROM orders_return AS r WHERE r.order_id = newest.reference_id AND r.status <> 'WITHDRAWN'))
FROM newest
"""


def return_rate(*, window: timedelta = MONTH) -> ReturnRate:
    """Measure how many of the parcels delivered within `window` come back, at most the newest `MOST_PARCELS`."""
    with connection.cursor() as cursor:
        values: list[Any] = [window, MOST_PARCELS]
        cursor.execute(_RATE, values)
        return ReturnRate(*cursor.fetchone())
