"""Where the orders of a batch are, between *packed* and their label."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from fulfillment import batches
from fulfillment.batches import Progress
from fulfillment.selectors import shipments_of
from marketplace.sagas import standby
from marketplace.sagas.models import SagaInstance, Status
from orders.desk import FULFILLMENT


@dataclass(frozen=True, slots=True)
class Stuck:
    """An order whose label a person has to see to."""

    saga_id: UUID
    shipment_id: UUID
    number: str
    why: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A batch's progress, what a person has to see to, and what stands by for a carrier that is down."""

    progress: Progress
    stuck: tuple[Stuck, ...]
    standing_by: int
    standing_by_for: str

    @property
    def goes_on(self) -> bool:
        """Whether it changes by itself, so that it is worth looking again."""
        return self.progress.packed > len(self.stuck)

    @property
    def percent(self) -> int:
        """How many of a hundred have their label."""
        to_label = self.progress.total - self.progress.cancelled
        return self.progress.labelled * 100 // to_label if to_label else 0


def standing(batch_id: UUID) -> Standing:
    """Say where the orders of a batch are; raises `UnknownBatch`. A constant number of queries."""
    progress = batches.progress(batch_id)
    left = batches.orders_without_label(batch_id) if progress.packed else []
    sagas = list(SagaInstance.objects.filter(name=FULFILLMENT, subject_id__in=left).order_by("id")) if left else []
    parked = [saga for saga in sagas if saga.status == Status.NEEDS_ATTENTION]
    waiting = [saga.standby for saga in sagas if saga.standby]
    return Standing(progress, _stuck(parked), len(waiting), standby.in_words(waiting[0]) if waiting else "")


def _stuck(parked: Sequence[SagaInstance]) -> tuple[Stuck, ...]:
    parcels = shipments_of([saga.subject_id for saga in parked]) if parked else {}
    found = [(saga, parcels[saga.subject_id]) for saga in parked if saga.subject_id in parcels]
    return tuple(Stuck(saga.id, parcel.id, parcel.number, saga.attention) for saga, parcel in found)
