"""The states that the audit's questions turn on, from where they are defined."""

from typing import Any, Final

from marketplace.operations.auditor.report import MOST_FINDINGS
from marketplace.sagas.models import TERMINAL
from orders.desk import FULFILLMENT
from orders.models import BEFORE_CONFIRMATION, Status
from orders.returns.models import OPEN
from orders.sagas.accept_late_payment import AcceptLatePayment
from orders.sagas.money import OWED, SETTLED
from orders.sagas.place_order import PlaceOrder
from orders.sagas.reverse_order import ReverseOrder

STANDING: Final = (Status.CONFIRMED, Status.SHIPPED, Status.IN_TRANSIT, Status.DELIVERED)  # paid for, and sold
UNDONE: Final = (Status.FAILED, Status.CANCELLED)

VALUES: Final[dict[str, Any]] = {
    "terminal": sorted(TERMINAL),
    "standing": [status.value for status in STANDING],
    "undone": [status.value for status in UNDONE],
    "unconfirmed": [status.value for status in BEFORE_CONFIRMATION],
    "place_order": PlaceOrder.name,
    "reverse_order": ReverseOrder.name,
    "accept_late_payment": AcceptLatePayment.name,
    "fulfill_order": FULFILLMENT,
    "returns_open": [status.value for status in OPEN],
    "owed": list(OWED),
    "settled": list(SETTLED),
    "most": MOST_FINDINGS,
}
