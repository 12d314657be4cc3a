"""The desk: what one transaction has in hand of the orders whose sagas it moves.

The orders come onto the desk together (two queries), the handlers change them in memory through their state machine,
and everything goes back together: one update of the orders, one insert of timeline entries, one append of events.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models.base import ModelState

from inventory import services as inventory
from inventory.services import Line
from marketplace.kernel import bulk
from marketplace.kernel.arrays import Uuids
from marketplace.kernel.ids import new_ids
from marketplace.kernel.pipeline import pipelined
from marketplace.outbox.services import Event, append
from marketplace.sagas import services as sagas
from marketplace.sagas.definition import Workspace, newest
from marketplace.sagas.ticket import Ticket
from orders import events
from orders.invoicing.crediting import credit_rest
from orders.invoicing.issuing import Confirmed, issue
from orders.models import BEFORE_CONFIRMATION, Order, OrderLine, Status, TimelineEntry
from payments.selectors import PaymentView

FULFILLMENT: Final = "fulfill_order"  # the saga that ships what is confirmed
SAGA = "saga"  # who, on the timeline, when no person is behind a change


_CHANGED = (
    "status", "failure_code", "failure_message", "failure_detail", "review_status", "payment_method", "transaction_id",
    "reserved_until",
)  # fmt: skip
# Written only where a handler has changed it: a refund that staff asked for changes it too, while an order lies here.
_APART = "refund_status"
_state = itemgetter(*_CHANGED, _APART)
_TAKEN_BACK = (Status.FAILED, Status.CANCELLED)


# Read by hand: Django's way of making a model instance costs more than all that a step does with the order.
_FIELDS = tuple(field.attname for field in Order._meta.concrete_fields)
_ORDERS = f"SELECT {', '.join(_FIELDS)} FROM {Order._meta.db_table} WHERE id = ANY(%b)"  # noqa: S608
_LINES = f"""
    SELECT order_id, sku, product_name, quantity, price_minor FROM {OrderLine._meta.db_table}
    WHERE order_id = ANY(%b) ORDER BY order_id, position
"""  # noqa: S608


def _order(row: tuple[Any, ...]) -> Order:
    """Make of `row` (in the order of `_FIELDS`) what `Order.objects.get` would return."""
    order = Order.__new__(Order)
    order.__dict__.update(zip(_FIELDS, row, strict=True))
    order._state = ModelState()
    order._state.db, order._state.adding = connection.alias, False
    return order


class BoughtLine(NamedTuple):
    """One line of an order, as far as its sagas need it."""

    sku: str
    product_name: str
    quantity: int
    price_minor: int


class OpenOrder:
    """An order on the desk, with its lines, and what happened to it in this transaction."""

    __slots__ = (
        "_lasting", "desk", "events", "held_until", "lines", "loaded", "order", "payment", "saga_id", "stock_lines",
        "timeline",
    )  # fmt: skip

    desk: "Desk"  # where it lies in this transaction

    def __init__(self, order: Order, lines: tuple[BoughtLine, ...], *, saga_id: UUID) -> None:
        self.order = order
        self.saga_id = saga_id  # of the saga that moves it now
        self.lines = lines
        self.stock_lines = tuple(Line(line.sku, line.quantity) for line in lines)  # in the vault's own words
        self._lasting = events.lasting(order)
        self.begin_anew()

    def begin_anew(self) -> None:
        """A transaction begins: nothing has happened in it yet."""
        self.loaded = self.state
        self.events: list[Event] = []
        self.timeline: list[tuple[str, str, str, str]] = []
        # What this very transaction has written, and holds the locks of, need not be asked for in it again.
        self.held_until: datetime | None = None
        self.payment: PaymentView | None = None

    @property
    def state(self) -> tuple[Any, ...]:
        """What handlers may change of an order, in the order of `_CHANGED`, and last what is written apart."""
        state: tuple[Any, ...] = _state(self.order.__dict__)  # past the descriptors, which ask for every single one
        return state

    def change(self, trigger: str, why: str, *, who: str = SAGA, **arguments: Any) -> None:
        """Fire the state machine's `trigger`; raises `TransitionNotAllowed`. `why` goes onto the timeline."""
        known = self.order.__dict__
        before = known["status"]
        getattr(self.order, trigger)(**arguments)
        self.timeline.append((before, known["status"], who, why))

    @property
    def is_shared(self) -> bool:
        """Whether other sagas than the one in hand may change it."""
        return self.loaded[0] not in BEFORE_CONFIRMATION

    @property
    def is_newly_confirmed(self) -> bool:
        """Whether this transaction has confirmed it."""
        return bool(self.order.__dict__["status"] == Status.CONFIRMED != self.loaded[0])

    @property
    def is_taken_back(self) -> bool:
        """Whether this transaction has ended it after it had been confirmed."""
        return bool(self.loaded[0] == Status.CONFIRMED and self.order.__dict__["status"] in _TAKEN_BACK)

    def note(self, why: str, *, who: str = SAGA) -> None:
        """Put onto the timeline what happened to the order without changing its status."""
        self.timeline.append((self.order.status, self.order.status, who, why))

    def tell(self, event_type: str, **data: Any) -> None:
        """Publish `event_type` about this order, after those already told."""
        self.events.append(events.about(self.order, event_type, data, saga_id=self.saga_id, known=self._lasting))


class Desk(Workspace):
    """The workspace of every saga about an order. What it confirms is to be shipped: that saga is started here.

    Writing is safe because until it is confirmed one saga changes an order, the one that places it, and that saga's row
    is locked for as long as the order is on the desk. For the same reason an order can stay in a worker's hands while
    its saga has a call in flight: as long as nobody else has moved the saga, nobody has changed the order. From then on
    there may be several (one ships it, one takes it back), of which one at a time may change it; so then each
    transaction takes the order anew.
    """

    def __init__(self) -> None:
        self._open: list[OpenOrder] = []
        self._stock_locked = False
        self._confirmed: list[OpenOrder] = []  # by this transaction, once it is written
        self.signals: list[tuple[str, sagas.Signal]] = []  # by name, for other sagas, which may be in hand here too
        self.to_take_out: list[tuple[UUID, str, int]] = []  # of the stock, once all else is written: what is sold

    def open(self, tickets: Sequence[Ticket], *, now: datetime) -> None:
        """Load the orders and lines of `tickets`; raises `Order.DoesNotExist` if one is missing.

        One that has stayed in hand during a call comes back as it is, as long as only its saga changes it.
        """
        self._load([ticket for ticket in tickets if ticket.subject is None or ticket.subject.is_shared])
        for ticket in tickets:
            ticket.subject.begin_anew()
            ticket.subject.desk = self
            self._open.append(ticket.subject)
        self._stock_locked = False

    def _load(self, tickets: Sequence[Ticket]) -> None:
        if not tickets:
            return
        behind = self.orders_behind(tickets)
        ids = Uuids(behind)
        with bulk.binding_cursor(binary=True) as of_lines, bulk.binding_cursor(binary=True) as of_orders:
            with pipelined():
                of_lines.execute(_LINES, [ids])
                of_orders.execute(_ORDERS, [ids])
            lines: dict[UUID, list[BoughtLine]] = {}
            for order_id, *line in of_lines.fetchall():
                lines.setdefault(order_id, []).append(BoughtLine(*line))
            orders = {row[0]: row for row in of_orders.fetchall()}
        for ticket, order_id in zip(tickets, behind, strict=True):
            row = orders.get(order_id)
            if row is None:
                raise Order.DoesNotExist(f"saga {ticket.id} is about order {order_id}, which does not exist")
            ticket.subject = OpenOrder(_order(row), tuple(lines.get(row[0], ())), saga_id=ticket.id)

    def orders_behind(self, tickets: Sequence[Ticket]) -> Sequence[UUID]:
        """The ids of the orders that the sagas of `tickets` are about, in their order."""
        return [ticket.subject_id for ticket in tickets]

    def lock_stock(self, tickets: Sequence[Ticket]) -> None:
        """To be called before stock is moved for `tickets`: lock that of every order on the desk, if these aren't all.

        A transaction may sell the units of some orders and then put back those of others. Were each locked when its
        turn comes, two transactions could wait for one another. Where the first to move stock are all there are, their
        SKUs are locked in order anyway; where nothing is moved, nothing is locked.
        """
        if not self._stock_locked and len(tickets) < len(self._open):
            inventory.lock_for({line.sku for opened in self._open for line in opened.lines})
        self._stock_locked = True

    def moved(self, ticket: Ticket, status: str, *, now: datetime) -> None:
        """Publish the saga's own events."""
        event_type = events.OF_SAGA_STATUS.get(status)
        if event_type:
            ticket.subject.tell(event_type, saga_status=status, cause=ticket.cause.code if ticket.cause else "")

    def close(self, *, now: datetime) -> None:
        """Write back what changed, and publish."""
        changed = [(opened, state) for opened in self._open if (state := opened.state) != opened.loaded]
        rows = [(opened.order.id, *state[:-1], now) for opened, state in changed]
        entries = [(opened.order.id, *entry, now) for opened in self._open for entry in opened.timeline]
        timeline = bulk.Insertion(TimelineEntry, ("order", "from_status", "to_status", "who", "why", "at"), entries)
        gone = "orders have vanished from under their sagas"
        bulk.write(Order, "id", (*_CHANGED, "updated_at"), rows, beside=timeline, or_else=gone)
        apart = [(opened.order.id, state[-1]) for opened, state in changed if state[-1] != opened.loaded[-1]]
        bulk.write(Order, "id", (_APART,), apart)
        append([event for opened in self._open for event in opened.events], now=now)
        self._confirmed = [opened for opened, _ in changed if opened.is_newly_confirmed]
        if self._confirmed:
            ids = new_ids(len(self._confirmed))
            starts = [sagas.Start(opened.order.id, id=i) for opened, i in zip(self._confirmed, ids, strict=True)]
            sagas.start(newest(FULFILLMENT), starts, now=now)

    def finish(self, *, now: datetime) -> None:
        """Send signals to other sagas, take what is sold out of stock, and write what orders get on paper.

        The signals because now that the rows of all that are in hand are written, none is overwritten. Then what others
        wait for, as late as can be: a popular product's stock, and the next number of an invoice (of what is confirmed)
        or of a credit note (of what is taken back).
        """
        for name in sorted({name for name, _ in self.signals}):
            sagas.signal_many(name, [signal for called, signal in self.signals if called == name])
        inventory.take_out(self.to_take_out, now=now)
        issue(list(map(_as_confirmed, self._confirmed)), now=now)
        taken_back = {one.order.id: one.order.failure_code for one in self._open if one.is_taken_back}
        if taken_back:
            credit_rest(taken_back, now=now)


def _as_confirmed(opened: OpenOrder) -> Confirmed:
    order = opened.order
    return Confirmed(
        order.id, order.number, order.currency, order.total_minor, order.email, order.shipping_address, opened.lines
    )
