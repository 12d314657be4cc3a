"""What every payment gateway can do for us. Knows no HTTP, no HTML and no Django.

A call has one of four outcomes. DONE and REFUSED are final: the gateway has spoken. UNKNOWN means that nobody here
knows, and it is never treated as a failure: the same key is sent again, which a gateway answers with what it did the
first time, or the charge is looked up by `find`. PENDING means that the gateway has taken it in and decides later (the
buyer has to confirm it at the bank, or the bank takes its time): it is not sent again, a webhook says when there is
something to be seen, and `find` sees it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from marketplace.kernel.errors import Refusal, Unavailable


class Outcome(StrEnum):
    DONE = "DONE"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"


class ChargeStatus(StrEnum):
    """What a gateway may believe about a charge. An authorization that was declined at once is no charge.

    PENDING holds nothing yet; DECLINED was PENDING before, and holds nothing. REVERSED: all that was captured, and not
    given back, was taken back by the bank.
    """

    PENDING = "PENDING"
    DECLINED = "DECLINED"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"
    REVERSED = "REVERSED"
    VOIDED = "VOIDED"


class Dispute(StrEnum):
    """Where a buyer's complaint at their bank stands. Only a lost one takes money."""

    NONE = ""
    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


class Risk(StrEnum):
    """What a gateway's own check says of a payment that it authorized all the same. UNTOLD: nothing bad, or nothing."""

    UNTOLD = ""
    ELEVATED = "ELEVATED"  # somebody should look at it
    HIGHEST = "HIGHEST"  # it is fraud, as far as the gateway can see


class NotGenuine(Refusal):
    """This webhook is not signed by the gateway, or was signed more than five minutes ago."""

    code = "webhook_not_genuine"


class NotUnderstood(Refusal):
    """This webhook is genuine, but its content makes no sense here."""

    code = "webhook_not_understood"


class GatewayUnavailable(Unavailable):
    """The payment gateway is not answering."""

    code = "gateway_unavailable"


# Codes of every gateway: nobody is there; or somebody is, and does not let us in, until somebody sees to our key.
TAKES_NO_CALLS: Final = frozenset({"gateway_unreachable", "unauthorized"})


@dataclass(frozen=True, slots=True)
class Reply:
    """A gateway's answer to one call.

    `reference` is the gateway's own id of what it did; `code` a stable word for why not, or for what was special;
    `message` a sentence for people. `amount_minor` is what the gateway says it authorized, captured or refunded, in
    minor units, where it says so.

    `nothing_happened` goes with UNKNOWN: this very call changed nothing for certain (it never arrived, or was turned
    away at the door). An *earlier* call with the same key may have.

    `action_url` goes with PENDING and its code `requires_action`: where the buyer has to go.

    `risk` and `card_country` (ISO 3166-1 alpha-2) go with an authorization, where the gateway tells them.
    """

    outcome: Outcome
    reference: str = ""
    code: str = ""
    message: str = ""
    nothing_happened: bool = False
    amount_minor: int | None = None
    action_url: str = ""
    risk: Risk = Risk.UNTOLD
    card_country: str = ""

    @property
    def unavailable(self) -> bool:
        """Whether nobody took this call, and would take no other now, whatever it were about; nothing was sent."""
        return self.nothing_happened and self.code in TAKES_NO_CALLS


@dataclass(frozen=True, slots=True)
class GivenBack:
    """One refund of a charge that has been done, as the gateway has it on record.

    `reference` is the gateway's own id of it, `key` the idempotency key that it was asked for with; empty where it was
    made at the gateway's own dashboard, or the key can't be told.
    """

    reference: str
    key: str
    amount_minor: int
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Charge:
    """What the gateway believes about one authorization. `key` is the idempotency key it was asked for with.

    `reversed_minor` is what the bank took back by itself; the failure is why a DECLINED one was declined.
    `refunded_minor` counts what has been given back, and not what is still on its way; `refunds` are what it is made
    of, the first one first. `find` knows them, `list` may leave them out.
    """

    key: str
    reference: str
    status: ChargeStatus
    amount_minor: int
    currency: str
    captured_minor: int
    refunded_minor: int
    created_at: datetime
    reversed_minor: int = 0
    dispute: Dispute = Dispute.NONE
    failure_code: str = ""
    failure_message: str = ""
    refunds: tuple[GivenBack, ...] = ()
    risk: Risk = Risk.UNTOLD
    card_country: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a webhook says that happened. A hint and no more: what counts is what `find` then answers.

    `authorization_key` is our own key, where the gateway names it; `reference` its own id of the charge.
    """

    event_id: str
    kind: str
    authorization_key: str
    reference: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Widget:
    """What a page must know to let a buyer pay by the provider's own script, which takes in what is secret about it.

    `name` is that of the script; `public_key` the key that the provider means to be seen by everybody; `parameters`
    what else the script is told, amounts in the provider's own smallest unit. How a page looks is no gateway's affair.
    """

    name: str
    public_key: str
    parameters: Mapping[str, str | int]


@runtime_checkable
class NamesParts(Protocol):
    """A gateway whose webhooks may name a part of a charge, such as a capture, and not the charge."""

    def charge_behind(self, *, reference: str) -> str:
        """Return the gateway's id of the charge that `reference` is a part of; empty where it is of none.

        It only looks. Raises `GatewayUnavailable`.
        """
        ...


class Gateway(Protocol):
    """A payment gateway. Its methods are called outside any transaction, from many threads at once.

    Every `key` is an idempotency key (1 to 255 printable ASCII characters): the same call with the same key is done
    once, however often it is sent. The four that move money never raise for what a network or a gateway can do; they
    answer UNKNOWN. Amounts are minor units of `currency` (ISO 4217, upper case).
    """

    name: str
    authorization_life: timedelta  # for so long money is held at the least, if nobody takes it or lets go of it
    declined_stays_open: bool  # what was declined after PENDING can still be completed by its buyer, until it is voided
    key_window: timedelta  # for so long a key is remembered; after that it is looked up by `find`, never sent again

    def authorize(
        self,
        *,
        key: str,
        amount_minor: int,
        currency: str,
        method: str,
        metadata: Mapping[str, str],
        return_url: str = "",
    ) -> Reply:
        """Hold `amount_minor` on `method` (a token, never card data). REFUSED: declined, nothing is held.

        It may answer PENDING. `return_url`: where a buyer comes back to who had to confirm.
        """
        ...

    def capture(self, *, key: str, authorization_key: str, reference: str, amount_minor: int) -> Reply:
        """Take what was held, once; `reference` is the one that the authorization was answered with, if known."""
        ...

    def void(self, *, key: str, authorization_key: str, reference: str = "") -> Reply:
        """Let go of what was held, by the authorization's own key alone where nobody knows its `reference`.

        DONE with code `nothing_to_void` when the authorization was refused or never arrived. A gateway that can,
        refuses one that arrives later. A pending one is ended, and so is one that was declined. What has been captured
        is REFUSED with code `already_captured`.
        """
        ...

    def refund(self, *, key: str, authorization_key: str, amount_minor: int | None, reference: str = "") -> Reply:
        """Give back `amount_minor` of what was captured, or with None all that is left of it.

        `Reply.amount_minor` says how much. DONE with code `nothing_to_refund` when nothing was captured or nothing is
        left. That answer is not final for its key: if a capture comes in later, the same key refunds it. PENDING: the
        gateway has taken it, and the money is still on its way; the same key asks how it stands.

        However old the key is, it gives back once: the gateway's own list of refunds names it.
        """
        ...

    def find(self, *, authorization_key: str, reference: str = "") -> Charge | None:
        """Return the charge that was authorized with this key, or None. Raises `GatewayUnavailable`."""
        ...

    def list(self, *, since: datetime) -> Iterator[Charge]:
        """Yield every charge authorized at or after `since`, oldest first. Raises `GatewayUnavailable`."""
        ...

    def verify(self, *, body: bytes, headers: Mapping[str, str]) -> Notice:
        """Return what a webhook says whose raw `body` is genuine, by its `headers` (names in any case).

        Signed by the gateway, at most 300 seconds ago (or ahead), compared in constant time. Raises `NotGenuine`,
        and `NotUnderstood` for what is signed but not readable.
        """
        ...


@runtime_checkable
class InBrowser(Protocol):
    """What a gateway can do besides, if its buyers pay in the browser by a script of the provider's."""

    def widget(self, *, amount_minor: int, currency: str) -> Widget:
        """What a page must know that asks for `amount_minor` of `currency`. Asks nobody."""
        ...

    def confirmation(self, *, reference: str) -> Mapping[str, str]:
        """What the script must know so that the buyer can confirm the pending charge `reference`; empty: nothing to do.

        It is for the buyer's own browser only, and to be kept nowhere. Raises `GatewayUnavailable`.
        """
        ...
