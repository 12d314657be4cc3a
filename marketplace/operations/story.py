"""All there is to know of one order or saga, gathered for its page. A fixed number of queries, whatever its length."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from fulfillment.selectors import ShipmentView, carrier_name, shipments_of
from inventory import selectors as inventory
from inventory.selectors import HoldView
from marketplace.operations import diagnosis
from marketplace.operations.diagnosis import Diagnosis
from marketplace.operations.parcel_diagnosis import of_parcel
from marketplace.outbox import selectors as outbox
from marketplace.outbox.selectors import EventView
from marketplace.sagas import archive
from marketplace.sagas import selectors as sagas
from marketplace.sagas.errors import NoSuchSaga
from marketplace.sagas.models import SagaInstance, SagaSignal
from marketplace.sagas.selectors import Entry
from orders import selectors as orders
from orders.addresses import goes_to
from orders.desk import FULFILLMENT
from orders.messages.models import Message
from orders.messages.selectors import messages_of
from orders.models import AFTER_CONFIRMATION, ENDED, CreditNote, Invoice, Order, OrderLine, TimelineEntry
from payments.models import Attempt, Observation, Payment, Refund
from payments.states import is_open


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a saga's history, with the traceback where something unforeseen was raised."""

    entry: Entry
    traceback: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it is going on now."""
        return self.entry.duration_ms is None


@dataclass(frozen=True, slots=True)
class SagaPage:
    """A saga with its history, its signals, and the steps that it has."""

    row: SagaInstance
    steps: tuple[Step, ...]
    signals: Sequence[SagaSignal]
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """A payment with every call to the gateway, every refund, and what was seen there beside."""

    row: Payment
    attempts: Sequence[Attempt]
    refunds: Sequence[Refund]
    news: Sequence[Observation]

    @property
    def unanswered(self) -> bool:
        """Whether the outcome of the last call is not known."""
        return bool(self.attempts) and is_open(self.attempts[-1].outcome, self.row.status)


@dataclass(frozen=True, slots=True)
class ParcelPage:
    """An order's parcel, None before it is planned, and the saga that ships it, None once that is archived.

    `diagnosis` says where it is, for as long as the order stands.
    """

    view: ShipmentView | None
    carrier: str
    saga: SagaInstance | None
    diagnosis: Diagnosis

    @property
    def label_is_refused(self) -> bool:
        """Whether a person has to decide because the carrier sells no label: mostly the address is wrong."""
        return self.saga is not None and (self.saga.status, self.saga.current_step) == ("NEEDS_ATTENTION", "buy_label")


@dataclass(frozen=True, slots=True)
class OrderPage:
    """An order, its lines, everything that happened to it, and what follows from that.

    `shipped`: whether `diagnosis` is about its parcel, because the purchase is over.
    """

    row: Order
    lines: Sequence[OrderLine]
    timeline: Sequence[TimelineEntry]
    saga: SagaPage | None
    payments: Sequence[PaymentPage]
    invoice: Invoice | None
    credit_notes: Sequence[CreditNote]
    holds: Sequence[HoldView]
    parcel: ParcelPage | None
    events: Sequence[EventView]
    mails: Sequence[Message]
    shipped: bool
    diagnosis: Diagnosis
    tiles: Mapping[str, Diagnosis]
    retried_by: UUID | None  # the order that took the place of this one

    @property
    def goes_to(self) -> Mapping[str, Any] | None:
        """Where it goes: what the buyer gave, unless staff have corrected it."""
        return goes_to(self.row.shipping_address, self.parcel.view if self.parcel else None)


def saga_page(saga_id: UUID, *, now: datetime) -> SagaPage | None:
    """Gather a saga, an archived one too; None where there is none. Five queries."""
    row = archive.row_of(saga_id)
    if row is None:
        return None
    try:
        entries = sagas.story(saga_id).history
    except NoSuchSaga:
        return None
    finished = [one.error for one in archive.history_of(row)]
    tracebacks = [*finished, *[""] * len(entries)]
    steps = tuple(Step(entry, error) for entry, error in zip(entries, tracebacks, strict=False))
    last = next((one.entry.message for one in reversed(steps) if not one.is_live), "")
    said = diagnosis.of_saga(row, last_message=last, now=now)
    return SagaPage(row, steps, archive.signals_of(row), said)


def payment_pages(reference_id: UUID) -> list[PaymentPage]:
    """Gather the payments of an order, the first one first. Four queries, one where there is none."""
    payments = list(Payment.objects.filter(reference_id=reference_id).order_by("sequence"))
    if not payments:
        return []
    attempts = _by_payment(Attempt.objects.filter(payment__in=payments).order_by("id"))
    refunds = _by_payment(Refund.objects.filter(payment__in=payments).order_by("id"))
    news = _by_payment(Observation.objects.filter(payment__in=payments).order_by("id"))
    return [
        PaymentPage(row, attempts.get(row.id, []), refunds.get(row.id, []), news.get(row.id, [])) for row in payments
    ]


def parcel_page(row: Order, *, now: datetime) -> ParcelPage | None:
    """Gather what there is of an order's parcel; None where it is to have none. Two queries."""
    view = shipments_of([row.id]).get(row.id)
    saga = SagaInstance.objects.filter(name=FULFILLMENT, subject_id=row.id).first()
    if view is None and saga is None and not _stands(row):
        return None
    carrier = carrier_name(view.carrier) if view else ""
    return ParcelPage(view, carrier, saga, of_parcel(saga, view, carrier=carrier, now=now))


def _stands(row: Order) -> bool:
    return row.status in AFTER_CONFIRMATION and row.reversal_id is None


def order_page(row: Order, *, now: datetime) -> OrderPage:
    """Gather everything about an order that is loaded already; its saga is the one that came last."""
    saga = saga_page(row.reversal_id or row.revival_id or row.saga_id, now=now)
    payments = payment_pages(row.id)
    holds = inventory.holds_of(row.id)
    events = outbox.events_of(subject_id=row.id)
    waiting = sum(not event.published for event in events)
    invoice = Invoice.objects.filter(pk=row.id).first()
    unanswered = bool(payments) and payments[-1].unanswered
    parcel = parcel_page(row, now=now)
    said = saga.diagnosis if saga else diagnosis.of_saga(None, last_message="", now=now)
    shipped = parcel if parcel and _stands(row) and said.level != "danger" else None
    return OrderPage(
        row=row,
        lines=list(row.lines.order_by("position")),
        timeline=list(row.timeline.order_by("id")),
        saga=saga,
        payments=payments,
        invoice=invoice,
        credit_notes=list(invoice.credit_notes.order_by("id")) if invoice else (),
        holds=holds,
        parcel=parcel,
        events=events,
        mails=messages_of(row.id),
        shipped=shipped is not None,
        diagnosis=shipped.diagnosis if shipped else said,
        tiles=({"Purchase": said} if shipped else {})
        | {
            "Money": diagnosis.of_money([payment.row for payment in payments], unanswered=unanswered),
            "Units": diagnosis.of_units(holds, now=now),
            "Events": diagnosis.of_events(told=len(events), waiting=waiting),
        },
        retried_by=orders.retry_of(row.id) if row.status in ENDED else None,
    )


Row = TypeVar("Row", Attempt, Refund, Observation)


def _by_payment(rows: Iterable[Row]) -> dict[UUID, list[Row]]:
    found: dict[UUID, list[Row]] = {}
    for row in rows:
        found.setdefault(row.payment_id, []).append(row)
    return found
