"""What every carrier can do for us. Knows no HTTP, no HTML and no Django.

A parcel is announced first (`create_shipment`, which costs nothing), then its label is bought, which gives it a
tracking number. Both go by one key of ours, the `shipment_key`: by it alone a shipment can be found, and its label be
voided, although every answer was lost.

A call has one of three outcomes. DONE and REFUSED are final: the carrier has spoken. UNKNOWN means that nobody here
knows, and it is never treated as a failure: the same key is sent again, which a carrier answers with what it did the
first time, or the shipment is looked up by `find`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from marketplace.kernel.errors import Refusal, Unavailable


class Outcome(StrEnum):
    DONE = "DONE"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


class ScanKind(StrEnum):
    """What a carrier may say of a parcel, in our words."""

    ANNOUNCED = "ANNOUNCED"  # it is told of, and has not been seen yet
    PICKED_UP = "PICKED_UP"
    IN_TRANSIT = "IN_TRANSIT"
    OUT_FOR_DELIVERY = "OUT_FOR_DELIVERY"
    EXCEPTION = "EXCEPTION"  # held up: nobody at home, an address that isn't found, damage
    RETURNED = "RETURNED"  # on its way back to us, or here again
    DELIVERED = "DELIVERED"


class LabelStatus(StrEnum):
    """What a carrier may believe about a shipment of ours."""

    ANNOUNCED = "ANNOUNCED"  # no label was bought
    BOUGHT = "BOUGHT"
    VOIDED = "VOIDED"


class LabelRefund(StrEnum):
    """What becomes of the money for a label that was given back."""

    NONE = ""  # it was not given back, or had cost nothing
    SUBMITTED = "SUBMITTED"  # the carrier decides later, and may say no
    REFUNDED = "REFUNDED"
    REJECTED = "REJECTED"


class NotGenuine(Refusal):
    """This webhook is not signed by the carrier, or was signed more than five minutes ago."""

    code = "webhook_not_genuine"


class NotUnderstood(Refusal):
    """This webhook is genuine, but its content makes no sense here."""

    code = "webhook_not_understood"


class CarrierUnavailable(Unavailable):
    """The carrier is not answering."""

    code = "carrier_unavailable"


# Codes of every carrier: nobody is there; or somebody is, and does not let us in, until somebody sees to our key.
TAKES_NO_CALLS: Final = frozenset({"carrier_unreachable", "unauthorized"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a parcel goes; `country` is ISO 3166-1 alpha-2. Any of it may be empty: the carrier says what it needs."""

    name: str = ""
    line1: str = ""
    line2: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of what any carrier needs, and is empty."""
        needed = ("name", "line1", "postal_code", "city", "country")
        return tuple(name for name in needed if not getattr(self, name).strip())


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be carried. `reference` is what people call it (the order's number), `service` the carrier's word."""

    to: Address
    weight_grams: int
    service: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a carrier offers for a parcel: a service, and in how many working days."""

    service: str
    days_min: int
    days_max: int
    price_minor: int | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A carrier's answer to one call.

    `reference` is the carrier's own id of the shipment; `code` a stable word for why not, or for what was special;
    `message` a sentence for people. `label_reference` says where the label's own document is, at the carrier.

    `nothing_happened` goes with UNKNOWN: this very call changed nothing for certain (it never arrived, or was turned
    away at the door). An *earlier* call with the same key may have.

    `label_refund` goes with a void, where the carrier says what becomes of the money.
    """

    outcome: Outcome
    reference: str = ""
    code: str = ""
    message: str = ""
    nothing_happened: bool = False
    tracking_number: str = ""
    tracking_url: str = ""
    label_reference: str = ""
    estimated_delivery: date | None = None
    label_refund: LabelRefund = LabelRefund.NONE

    @property
    def unavailable(self) -> bool:
        """Whether nobody took this call, and would take no other now, whatever it were about; nothing was sent."""
        return self.nothing_happened and self.code in TAKES_NO_CALLS


@dataclass(frozen=True, slots=True)
class Scan:
    """One thing that happened to a parcel, by the carrier's clock. `event_id` is the carrier's: told twice, it is one.

    A carrier that gives its scans no id has one made of what they say, the same each time.
    """

    event_id: str
    kind: ScanKind
    occurred_at: datetime
    place: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Consignment:
    """What the carrier believes about one shipment: its label, and every scan so far, in any order."""

    shipment_key: str
    reference: str
    status: LabelStatus
    tracking_number: str = ""
    tracking_url: str = ""
    label_reference: str = ""
    service: str = ""
    estimated_delivery: date | None = None
    scans: Sequence[Scan] = ()
    label_refund: LabelRefund = LabelRefund.NONE


@dataclass(frozen=True, slots=True)
class Notice:
    """What a webhook says that happened to a parcel: known by our own key, the carrier's reference, or its number."""

    event_id: str
    kind: str
    occurred_at: datetime
    shipment_key: str = ""
    reference: str = ""
    tracking_number: str = ""
    scans: Sequence[Scan] = ()
    estimated_delivery: date | None = None


class Carrier(Protocol):
    """A carrier. Its methods are called outside any transaction, from many threads at once.

    Every `key` and `shipment_key` is 1 to 255 printable ASCII characters: the same call with the same key is done once,
    however often it is sent. The three that change something never raise for what a network or a carrier can do; they
    answer UNKNOWN.
    """

    name: str
    key_window: timedelta  # for so long a key is remembered; after that it is looked up by `find`, never sent again

    def rates(self, parcel: Parcel) -> list[Rate]:
        """Return what is offered for `parcel` now, the quickest first. Raises `CarrierUnavailable`."""
        ...

    def create_shipment(self, *, shipment_key: str, parcel: Parcel) -> Reply:
        """Announce `parcel`, once for each key. Costs nothing. REFUSED: an address or a weight that can't be served."""
        ...

    def buy_label(self, *, key: str, shipment_key: str, reference: str, parcel: Parcel) -> Reply:
        """Buy the label of an announced shipment for `parcel.service`; `reference` is what `create_shipment` answered.

        A shipment has one label: buying it again under another key is REFUSED with code `label_bought_already`.
        """
        ...

    def void_label(self, *, key: str, shipment_key: str, reference: str = "") -> Reply:
        """Give the label back, by the shipment's own key alone where nobody knows its `reference`.

        DONE with code `nothing_to_void` when none was bought. A carrier that can, refuses a label that is asked for
        later under this shipment key. What has been picked up is REFUSED with code `already_picked_up`.
        """
        ...

    def find(self, *, shipment_key: str, reference: str = "", tracking_number: str = "") -> Consignment | None:
        """Return the shipment that was announced with this key, with its scans; None: there is none.

        Raises `CarrierUnavailable`.
        """
        ...

    def track(self, *, shipment_key: str, reference: str = "", tracking_number: str = "") -> Consignment | None:
        """Return what is known of a parcel whose label was bought. Raises `CarrierUnavailable`."""
        ...

    def verify(self, *, body: bytes, headers: Mapping[str, str]) -> Notice:
        """Return what a webhook says whose raw `body` is genuine, by its `headers` (names in any case).

        Signed by the carrier, at most 300 seconds ago (or ahead), compared in constant time. Raises `NotGenuine`,
        and `NotUnderstood` for what is signed but not readable.
        """
        ...
