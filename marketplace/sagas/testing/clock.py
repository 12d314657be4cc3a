"""Letting time pass for one saga without waiting for it.

The database's clock is the one that counts and can't be turned; so the saga's own instants are moved into the past
instead. To the saga that is the same.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F

from marketplace.kernel.clock import database_now
from marketplace.sagas.models import SagaInstance, SagaSignal

_INSTANTS = ("due_at", "wait_until", "deadline_at", "step_started_at")


def let_pass(saga_id: UUID, span: timedelta) -> None:
    """Let `span` pass for one saga: its due time, its wait, its deadline and its lease come so much nearer.

    What it has been told by then was told so much earlier, too.
    """
    SagaInstance.objects.filter(pk=saga_id).update(**{name: F(name) - span for name in _INSTANTS})
    SagaSignal.objects.filter(saga_id=saga_id).update(received_at=F("received_at") - span)


def let_come(saga_id: UUID, instant: datetime) -> None:
    """Let time pass for one saga until `instant`, if that is still to come."""
    span = instant - database_now()
    if span > timedelta():
        let_pass(saga_id, span)
