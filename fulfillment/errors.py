"""The errors of this app.

    NotFound
    ├── UnknownShipment         there is no such shipment
    ├── NotLabelled             a shipment has no label (yet, or any more)
    ├── UnknownBatch            there is no such batch
    ├── NothingToPick           none of these parcels waits to be packed (any more)
    ├── NothingToPrint          none of its parcels has a label (yet)
    ├── UnknownCarrier          no carrier of that name is set up here
    └── UnknownEvent            there is no such webhook
    Conflict
    ├── KeyTaken                the idempotency key belongs to another shipment
    ├── TooLateToCorrect        it has its label, or is cancelled
    └── PrintedElsewhere        somebody else prints these labels at this moment
    Refusal
    └── WebhookTooLarge
    CallInsideTransaction       a programming error: the network was about to be used while rows are locked

`fulfillment.carriers.base` has what carriers raise: `CarrierUnavailable`, `NotGenuine`, `NotUnderstood`.
"""

from marketplace.kernel.errors import Conflict, NotFound, Refusal


class UnknownShipment(NotFound):
    """There is no such shipment here."""

    code = "unknown_shipment"


class UnknownBatch(NotFound):
    """There is no such batch here."""

    code = "unknown_batch"


class NothingToPick(NotFound):
    """None of these waits to be packed any more, or somebody else has them in hand."""

    code = "nothing_to_pick"


class NothingToPrint(NotFound):
    """There is nothing to print."""

    code = "nothing_to_print"


class UnknownCarrier(NotFound):
    """There is no such carrier here."""

    code = "unknown_carrier"


class UnknownEvent(NotFound):
    """There is no such webhook here."""

    code = "unknown_webhook"


class NotLabelled(NotFound):
    """There is no label: it was not bought yet, or it was given back."""

    code = "not_labelled"


class KeyTaken(Conflict):
    """This idempotency key belongs to another shipment, or to another call for the same."""

    code = "idempotency_key_taken"


class TooLateToCorrect(Conflict):
    """The parcel has its label already, or is not sent at all, so its address can't be changed any more."""

    code = "too_late_to_correct"


class PrintedElsewhere(Conflict):
    """Somebody else is printing these labels at this moment."""

    code = "printed_elsewhere"


class WebhookTooLarge(Refusal):
    """This webhook is larger than any that a carrier sends."""

    code = "webhook_too_large"


class CallInsideTransaction(RuntimeError):
    """A carrier must not be called inside a transaction: locks would be held for as long as it takes to answer."""
