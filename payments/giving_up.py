"""Giving up a payment that came to nothing, so that its order can be paid by another one.

It is for good. From then on the payment is the cashier's alone: no authorization and no capture of it is begun for
anybody, and money that turns up under it all the same goes back by itself (`payments.news`), whoever wants it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from marketplace.kernel import bulk
from payments import journal, rows
from payments.models import Payment
from payments.probing import key_window
from payments.selectors import PaymentView
from payments.states import PaymentStatus

CAME_TO_NOTHING: Final = frozenset({PaymentStatus.FAILED, PaymentStatus.VOIDED})


def give_up(reference_ids: Sequence[UUID], *, now: datetime) -> dict[UUID, PaymentView]:
    """Give up the payments of these orders that the bank has finally declined or let go of; answer how each stands.

    What holds money, or may yet, is answered without a `given_up_at`: it is then for the caller to go on with it. The
    keys of those given up are watched until the gateway has forgotten them. Locks the payments; needs the caller's
    transaction.
    """
    locked = sorted(rows.lock_all_of(reference_ids), key=lambda view: view.sequence)
    latest = {view.reference_id: view for view in locked}
    over = [view for view in latest.values() if view.status in CAME_TO_NOTHING and view.given_up_at is None]
    bulk.update(Payment, "id", ("given_up_at", "updated_at"), [(view.id, now, now) for view in over])
    for gateway in {view.gateway for view in over}:
        watched = [view.id for view in over if view.gateway == gateway]
        journal.watch(watched, for_sure=True, until=now + key_window(gateway), now=now)
    return latest | {view.reference_id: view._replace(given_up_at=now) for view in over}
