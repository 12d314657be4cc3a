"""Reading orders: for the API, the storefront, the admin and the commands."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from fulfillment.selectors import ShipmentView, shipments_of
from marketplace.kernel.pagination import Window
from marketplace.sagas import selectors as sagas
from marketplace.sagas.selectors import Entry as HistoryLine
from marketplace.sagas.selectors import Story
from orders.addresses import goes_to
from orders.errors import UnknownOrder
from orders.invoicing.selectors import NO_PAPERS, Papers, papers_of
from orders.models import AFTER_CONFIRMATION, ENDED, Order, OrderLine
from payments import selectors as payments
from payments.selectors import PaymentView, RefundView


@dataclass(frozen=True, slots=True)
class ItemView:
    """One line of an order."""

    sku: str
    product_name: str
    quantity: int
    price_minor: int


@dataclass(frozen=True, slots=True)
class PaymentSummary:
    """How the payment of an order stands; `transaction_id` is the gateway's.

    `action_url`: where the buyer has to go now to confirm it with the bank; mostly empty. `attempt` is the number of
    the order's attempt to be paid; `is_over`: it was declined, and the order may be paid by the next one.
    `refunded_minor` has gone back, and `refunding_minor` is on its way, in minor units.
    """

    status: str
    transaction_id: str
    action_url: str = ""
    attempt: int = 1
    is_over: bool = False
    refunded_minor: int = 0
    refunding_minor: int = 0


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as the rest of the system sees it. `shipping_address` is where it goes, see `orders.addresses`."""

    id: UUID
    number: str
    status: str
    failure_code: str
    failure_message: str
    failure_detail: dict[str, Any]
    review_status: str
    refund_status: str
    items: tuple[ItemView, ...]
    total_minor: int
    currency: str
    user_id: str
    email: str
    shipping_address: dict[str, Any] | None
    payment_method: str
    created_at: datetime
    updated_at: datetime
    reserved_until: datetime | None
    payment: PaymentSummary | None
    saga_id: UUID
    language: str = "en"
    being_taken_back: bool = False
    papers: Papers = NO_PAPERS
    retry_of: UUID | None = None  # the order that came to nothing, which this one is for
    retried_by: UUID | None = None  # and the other way round
    shipment: ShipmentView | None = None

    @property
    def payment_attempt(self) -> int:
        """Which attempt to pay is under way, or comes next."""
        return 1 if self.payment is None else self.payment.attempt + self.payment.is_over


@dataclass(frozen=True, slots=True)
class TimelineView:
    """One change of status, or something that happened without one (from a status to the same)."""

    from_status: str
    to_status: str
    who: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SagaStory:
    """What the sagas of an order did, step by step; all but `history` is of the one that came last."""

    id: UUID
    order_id: UUID
    status: str
    current_step: str
    started_at: datetime
    completed_at: datetime | None
    attention: str
    history: tuple[HistoryLine, ...]
    name: str = "place_order"


def view(
    row: Order,
    lines: Sequence[OrderLine],
    *,
    payment: PaymentSummary | None,
    papers: Papers = NO_PAPERS,
    retried_by: UUID | None = None,
    shipment: ShipmentView | None = None,
) -> OrderView:
    """Make the view of a loaded order."""
    return OrderView(
        id=row.id,
        number=row.number,
        status=row.status,
        failure_code=row.failure_code,
        failure_message=row.failure_message,
        failure_detail=row.failure_detail,
        review_status=row.review_status,
        refund_status=row.refund_status,
        items=tuple(ItemView(line.sku, line.product_name, line.quantity, line.price_minor) for line in lines),
        total_minor=row.total_minor,
        currency=row.currency,
        user_id=row.user_id,
        email=row.email,
        shipping_address=goes_to(row.shipping_address, shipment),
        payment_method=row.payment_method,
        created_at=row.created_at,
        updated_at=row.updated_at,
        reserved_until=row.reserved_until,
        payment=payment,
        saga_id=row.saga_id,
        language=row.language,
        papers=papers,
        shipment=shipment,
        being_taken_back=row.reversal_id is not None and row.status not in ENDED,
        retry_of=row.retry_of,
        retried_by=retried_by,
    )


def _views(rows: Sequence[Order]) -> list[OrderView]:
    ids = [row.id for row in rows]
    paid = payments.payments_of(ids) if ids else {}
    owed = [row.id for row in rows if row.refund_status == "PENDING"]
    refunds = payments.refunds_of(owed) if owed else {}
    summaries = {key: _summary(one, refunds.get(key, ())) for key, one in paid.items()}
    lines: dict[UUID, list[OrderLine]] = {}
    for line in OrderLine.objects.filter(order_id__in=ids).order_by("position"):
        lines.setdefault(line.order_id, []).append(line)
    confirmed = [row.id for row in rows if row.status in AFTER_CONFIRMATION or row.reversal_id is not None]
    papers = papers_of(confirmed)
    shipments = shipments_of(confirmed) if confirmed else {}
    retries = _retries_of([row.id for row in rows if row.status in ENDED])
    return [
        view(
            row,
            lines.get(row.id, []),
            payment=summaries.get(row.id),
            papers=papers.get(row.id, NO_PAPERS),
            retried_by=retries.get(row.id),
            shipment=shipments.get(row.id),
        )
        for row in rows
    ]


def _retries_of(ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """The orders that took the place of these, where there are any."""
    if not ids:
        return {}
    found = Order.objects.filter(retry_of__in=ids).values_list("retry_of", "id")
    return {old: new for old, new in found if old is not None}


def retry_of(order_id: UUID) -> UUID | None:
    """The order that took the place of this one, if there is any."""
    return _retries_of([order_id]).get(order_id)


def _summary(payment: PaymentView, refunds: Sequence[RefundView]) -> PaymentSummary:
    open_at = payment.action_url if payment.status == "PENDING" else ""  # afterwards there is nothing to confirm
    over = payment.given_up_at is not None
    under_way = [one for one in refunds if one.status == "PENDING" and one.payment_id == payment.id]
    on_the_way = sum(refund.amount_minor for refund in under_way)
    return PaymentSummary(
        payment.status,
        payment.gateway_reference,
        open_at,
        payment.sequence,
        over,
        payment.refunded_minor,
        on_the_way,
    )


def order(order_id: UUID) -> OrderView:
    """Return one order; raises `UnknownOrder`."""
    row = Order.objects.filter(pk=order_id).first()
    if row is None:
        raise UnknownOrder
    return _views([row])[0]


def orders_by_id(order_ids: Collection[UUID]) -> dict[UUID, OrderView]:
    """Return these orders, as far as there are such. Three queries for any number of them."""
    return {found.id: found for found in _views(list(Order.objects.filter(pk__in=order_ids)))}


def owner_of(order_id: UUID) -> str:
    """The username of an order's buyer, empty for a guest; raises `UnknownOrder`."""
    owner = Order.objects.filter(pk=order_id).values_list("user_id", flat=True).first()
    if owner is None:
        raise UnknownOrder
    return str(owner)


def orders(*, window: Window, user_id: str | None = None, status: str | None = None) -> list[OrderView]:
    """Return orders, the newest first (or back from `window.position` if it is `backwards`, the nearest first)."""
    rows = Order.objects.all()
    if user_id is not None:
        rows = rows.filter(user_id=user_id)
    if status is not None:
        rows = rows.filter(status=status)
    if window.position is not None:
        rows = rows.filter(id__gt=window.position) if window.backwards else rows.filter(id__lt=window.position)
    return _views(list(rows.order_by("id" if window.backwards else "-id")[: window.limit]))


def last_destination(user_id: str) -> tuple[dict[str, Any], str] | None:
    """Return where the last order of this user was to go, and its e-mail address; None where that is not known.

    Orders without an address are passed over; ten are looked at. Two queries.
    """
    rows = list(Order.objects.filter(user_id=user_id).exclude(user_id="").order_by("-id")[:_LOOKED_AT])
    parcels = shipments_of([row.id for row in rows]) if rows else {}
    told = ((goes_to(row.shipping_address, parcels.get(row.id)), row.email) for row in rows)
    return next(((address, email) for address, email in told if address), None)


def timeline(order_id: UUID) -> list[TimelineView]:
    """Return every change of an order's status and what happened between them, the first one first.

    Raises `UnknownOrder`.
    """
    row = Order.objects.filter(pk=order_id).first()
    if row is None:
        raise UnknownOrder
    entries = row.timeline.order_by("id")
    return [TimelineView(e.from_status, e.to_status, e.who, e.why, e.at) for e in entries]


def saga_of(order_id: UUID) -> SagaStory:
    """Return the story of this order: how it was placed and, if it was, how it was revived, and taken back.

    The history is that of all these sagas, one after the other; all else is of the one that came last.
    Raises `UnknownOrder`.
    """
    ids = Order.objects.filter(pk=order_id).values_list("saga_id", "revival_id", "reversal_id").first()
    if ids is None:
        raise UnknownOrder
    stories: list[Story] = [sagas.story(saga_id) for saga_id in ids if saga_id is not None]
    story = stories[-1]
    return SagaStory(
        id=story.id,
        order_id=order_id,
        status=story.status,
        current_step=story.current_step,
        started_at=story.started_at,
        completed_at=story.completed_at,
        attention=story.attention,
        history=tuple(entry for one in stories for entry in one.history),
        name=story.name,
    )


def refunds(order_id: UUID) -> list[RefundView]:
    """Return the refunds of an order, the first one first, whoever made them."""
    return payments.refunds_of([order_id]).get(order_id, [])


_LOOKED_AT: Final = 10
_FOR_STAFF: Final = frozenset({"check_fraud", "fraud_review"})


def for_buyer(story: SagaStory) -> SagaStory:
    """Return the story without what only staff may read: what was found suspicious, and who decided about it."""
    entries = (replace(one, message="") if one.step in _FOR_STAFF else one for one in story.history)
    return replace(story, attention="", history=tuple(entries))


def with_live_saga(order_ids: Collection[UUID]) -> set[UUID]:
    """Which of these orders have a saga that is not over."""
    return sagas.live_subjects(list(order_ids))
