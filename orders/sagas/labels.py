"""The saga's dealings with the carrier about labels.

Each call is prepared in our transaction (the call and its key are written), sent outside of any, and recorded in the
next. The void goes by the key of the label alone: it works although the label's answer was lost, and does nothing where
nothing was bought.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from fulfillment import services as fulfillment
from fulfillment.carriers.base import Outcome as Verdict
from fulfillment.carriers.base import Reply
from fulfillment.selectors import ShipmentView, refused_labels
from fulfillment.services import LabelCall
from marketplace.sagas.outcomes import Done, Outcome, Parked, Ready, Refused, Retry, Unavailable, Unknown
from marketplace.sagas.ticket import Ticket
from orders.desk import OpenOrder
from orders.sagas.shipping import views_of


def key_window(call: LabelCall) -> timedelta:
    """How long the carrier of this call remembers its key. After that it is not sent again, but looked for."""
    return fulfillment.key_window(call.carrier)


def circuit(carrier: str) -> str:
    """The name of the breaker before a carrier; gateways have their own names to themselves."""
    return f"carrier-{carrier}"


class _Operation(ABC):
    """What the calls have in common."""

    name = ""

    def keys(self, tickets: Sequence[Ticket]) -> list[str]:
        """The idempotency key of each call."""
        return [ticket.key for ticket in tickets]

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Write the calls. Where there is nothing to do, the books say why."""
        calls = fulfillment.begin(
            self.name,
            [ticket.subject_id for ticket in tickets],
            keys=self.keys(tickets),
            numbers=[ticket.attempt for ticket in tickets],
            now=now,
        )
        idle = [ticket for ticket, call in zip(tickets, calls, strict=True) if call is None]
        known = views_of(idle) if idle else {}
        return [
            Ready(call) if call is not None else self.nothing_to_do(ticket.subject, known.get(ticket.subject_id))
            for ticket, call in zip(tickets, calls, strict=True)
        ]

    def send(self, request: LabelCall) -> tuple[LabelCall, Reply]:
        """Make the call, outside of any transaction."""
        return request, fulfillment.send(request)

    def probe(self, request: LabelCall) -> tuple[LabelCall, Reply]:
        """Only look what became of the call, outside of any transaction: its key may be forgotten by now."""
        return request, fulfillment.probe(request)

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        """Write down what the carrier said, and say what it means for the saga."""
        answers = [reply for reply in replies if not isinstance(reply, Unknown)]
        views = {view.reference_id: view for view in fulfillment.record(answers, now=now)}
        return [
            reply if isinstance(reply, Unknown) else self._outcome(ticket.subject, reply[1], views[ticket.subject_id])
            for ticket, reply in zip(tickets, replies, strict=True)
        ]

    def _outcome(self, opened: OpenOrder, reply: Reply, view: ShipmentView) -> Outcome:
        if reply.outcome is Verdict.DONE:
            return self.done(opened, reply, view)
        if reply.outcome is Verdict.REFUSED:
            return self.refused(opened, reply, view)
        why = reply.message or reply.code or "The carrier did not answer."
        if reply.unavailable:
            return Unavailable(why)
        return Retry(why) if reply.nothing_happened else Unknown(why)

    def circuits(self, tickets: Sequence[Ticket]) -> Sequence[str]:
        """The breaker before each call: that of the shipment's carrier."""
        known = views_of(tickets)
        found = [known.get(ticket.subject_id) for ticket in tickets]
        return [circuit(view.carrier if view else settings.CARRIER) for view in found]

    @abstractmethod
    def nothing_to_do(self, opened: OpenOrder, view: ShipmentView | None) -> Outcome:
        """What it means that there is no call to be made."""

    @abstractmethod
    def done(self, opened: OpenOrder, reply: Reply, view: ShipmentView) -> Outcome:
        """What it means for the order that the carrier has done it."""

    @abstractmethod
    def refused(self, opened: OpenOrder, reply: Reply, view: ShipmentView) -> Outcome:
        """What it means for the order that the carrier has said no."""


class _Buy(_Operation):
    """Buy the label, once. One that is refused is left to a person, and then asked for under another key."""

    name = "BUY"

    def keys(self, tickets: Sequence[Ticket]) -> list[str]:
        """To the key of a refusal a carrier would only repeat itself."""
        refused = refused_labels([ticket.subject_id for ticket in tickets])
        counts = [refused.get(ticket.subject_id, 0) for ticket in tickets]
        return [f"{ticket.key}:{n + 1}" if n else ticket.key for ticket, n in zip(tickets, counts, strict=True)]

    def nothing_to_do(self, opened: OpenOrder, view: ShipmentView | None) -> Outcome:
        if view is not None and view.tracking_number:
            return self._labelled(opened, view)
        return Parked("The shipment can't be labelled: the books say that it is not packed.")

    def done(self, opened: OpenOrder, reply: Reply, view: ShipmentView) -> Outcome:
        if not view.tracking_number:
            return Parked("The shipment was cancelled, although its order goes on.")
        return self._labelled(opened, view)

    def refused(self, opened: OpenOrder, reply: Reply, view: ShipmentView) -> Outcome:
        why = reply.message or reply.code
        opened.note(f"The carrier sells no label for it: {why}", who=view.carrier)
        todo = "Correct the shipment's address, and it is asked again by itself; or have it undone."
        return Parked(f"The carrier refuses the label: {why} {todo}")

    @staticmethod
    def _labelled(opened: OpenOrder, view: ShipmentView) -> Outcome:
        told = {"carrier": view.carrier, "service": view.service, "tracking_number": view.tracking_number}
        opened.tell("LABEL_GENERATED", shipment_id=view.id, **told)
        return Done(message=f"Tracking number {view.tracking_number}.")


class _Void(_Operation):
    """Give the label back, unless there is none. What the carrier has picked up is left to a person."""

    name = "VOID"

    def nothing_to_do(self, opened: OpenOrder, view: ShipmentView | None) -> Outcome:
        if view is not None and view.label_key and view.status != "CANCELLED":
            return Parked(f"The carrier has the parcel already: it is {view.status}.")
        return Done(message="No label was asked for, so there is none to void.")

    def done(self, opened: OpenOrder, reply: Reply, view: ShipmentView) -> Outcome:
        if reply.code == "nothing_to_void":
            return Done(message="No label was bought, so there is none to void.")
        opened.note("The label is voided.", who=view.carrier)
        return Done(message="The label is voided.")

    def refused(self, opened: OpenOrder, reply: Reply, view: ShipmentView) -> Outcome:
        return Refused(reply.code or "void_refused", reply.message or "The carrier refuses to void the label.")

    @staticmethod
    def foresee(tickets: Sequence[Ticket]) -> list[str]:
        """Say what the undo would do. Reads only."""
        known = views_of(tickets)
        return [_foreseen(known.get(ticket.subject_id)) for ticket in tickets]


def _foreseen(view: ShipmentView | None) -> str:
    if view is None or not view.label_key:
        return "No label was asked for, so none is voided."
    if view.tracking_number:
        return f"Void the label {view.tracking_number} at {view.carrier}."
    return f"Void the label at {view.carrier}, if one was bought."


buy, void = _Buy(), _Void()
