"""EasyPost as the shop sees it.

EasyPost has no idempotency keys. Two things of its own take their place: a shipment can be found by a `reference` of
ours (we give it the shipment key), and a shipment is bought once: asked again, EasyPost says that it has its postage.
So a label is never paid for twice, whoever asks for it and however often. Two announcements of one key that cross each
other leave two shipments, of which one is never bought: that costs nothing.

What EasyPost can't do is forbid a label that is asked for after its void. That only a request can be that was on its
way for longer than our whole time-out; such a label shows up by its tracker, and is given back by hand.
"""

import os
import threading
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from django.conf import settings
from easypost import EasyPostClient
from easypost.errors import ApiError, NotFoundError
from requests.adapters import HTTPAdapter

from fulfillment.carriers.base import Address, CarrierUnavailable, Consignment, Notice, Outcome, Parcel, Rate, Reply
from fulfillment.carriers.easypost import reading, webhooks
from fulfillment.origin import ship_from

EXISTS: Final = "SHIPMENT.POSTAGE.EXISTS"
NOTHING: Final = Reply(Outcome.DONE, code="nothing_to_void", message="No label was bought.")


class EasyPostCarrier:
    """Client of EasyPost with `api_key`, at `api_base`. One object serves all threads, and any process forked from it.

    `sender` is where parcels come from.
    """

    name = "easypost"
    key_window = timedelta(days=180)  # a shipment knows whether it was bought for as long as it can be bought

    def __init__(
        self,
        *,
        api_key: str,
        sender: Address,
        timeout_seconds: float,
        phone: str = "",
        api_base: str = "",
        webhook_secret: str = "",
    ) -> None:
        self._access: dict[str, Any] = {"api_key": api_key, "timeout": timeout_seconds}
        if api_base:
            self._access["api_base"] = api_base
        self._from = {**reading.address(sender), "phone": phone}
        self._webhook_secret = webhook_secret
        self._local = threading.local()

    def rates(self, parcel: Parcel) -> list[Rate]:
        try:
            told = self._easypost.beta_rate.retrieve_stateless_rates(**self._described(parcel)) or []
        except ApiError as error:
            raise CarrierUnavailable(reason=reading.failure(error).code) from error
        rates = [found for one in told if (found := reading.rate(one.to_dict())) is not None]
        return sorted(rates, key=lambda rate: rate.days_max)

    def create_shipment(self, *, shipment_key: str, parcel: Parcel) -> Reply:
        try:
            known = self._retrieve(shipment_key)
            if known is None:
                options = {"print_custom_1": parcel.reference} if parcel.reference else {}
                made = self._easypost.shipment.create(
                    reference=shipment_key, options=options, **self._described(parcel)
                )
                known = made.to_dict()
        except ApiError as error:
            return reading.failure(error)
        if not known.get("rates") and not reading.has_label(known):
            why = "; ".join(str(one.get("message")) for one in known.get("messages") or ())
            return Reply(Outcome.REFUSED, code="not_served", message=why or "No carrier takes this parcel.")
        return Reply(Outcome.DONE, reference=known["id"])

    def buy_label(self, *, key: str, shipment_key: str, reference: str, parcel: Parcel) -> Reply:
        try:
            shipment = self._retrieve(reference or shipment_key)
            if shipment is None:
                return Reply(Outcome.REFUSED, code="shipment_not_found", message="EasyPost has no such shipment.")
            if not reading.has_label(shipment):
                rates = {reading.service(rate): rate for rate in shipment.get("rates") or ()}
                if parcel.service not in rates:
                    said = f"{parcel.service} is not offered for this parcel."
                    return Reply(Outcome.REFUSED, code="service_unknown", message=said)
                shipment = self._buy(shipment["id"], rates[parcel.service])
        except ApiError as error:
            return reading.failure(error)
        if reading.is_voided(shipment):
            return Reply(Outcome.REFUSED, code="voided_before_label", message="The label was given back.")
        return reading.bought(shipment)

    def void_label(self, *, key: str, shipment_key: str, reference: str = "") -> Reply:
        try:
            shipment = self._retrieve(reference or shipment_key)
            if shipment is None or not reading.has_label(shipment):
                return NOTHING
            if reading.is_on_its_way(shipment):
                return Reply(Outcome.REFUSED, code="already_picked_up", message="The parcel is on its way.")
            if not reading.is_voided(shipment):
                shipment = self._easypost.shipment.refund(shipment["id"]).to_dict()
        except ApiError as error:
            return reading.failure(error)
        if reading.is_voided(shipment):
            return Reply(Outcome.DONE, reference=shipment["id"], label_refund=reading.label_refund(shipment))
        return Reply(Outcome.REFUSED, code="void_refused", message="The carrier does not take the label back.")

    def find(self, *, shipment_key: str, reference: str = "", tracking_number: str = "") -> Consignment | None:
        try:
            shipment = self._retrieve(reference or shipment_key)
        except ApiError as error:
            raise CarrierUnavailable(reason=reading.failure(error).code) from error
        return None if shipment is None else reading.consignment(shipment)

    def track(self, *, shipment_key: str, reference: str = "", tracking_number: str = "") -> Consignment | None:
        found = self.find(shipment_key=shipment_key, reference=reference)
        return found if found is not None and found.tracking_number else None

    def verify(self, *, body: bytes, headers: Mapping[str, str]) -> Notice:
        return webhooks.verify(body, headers, secret=self._webhook_secret)

    @property
    def _easypost(self) -> Any:
        """This thread's client in this process: two must never write to one connection."""
        if getattr(self._local, "process", None) != os.getpid():
            made = EasyPostClient(**self._access)
            made._requests_session.mount(made.api_base, HTTPAdapter())  # the SDK's own tries again by itself: we do
            self._local.process, self._local.client = os.getpid(), made
        return self._local.client

    def _retrieve(self, identity: str) -> dict[str, Any] | None:
        """Find a shipment by EasyPost's id, or by our reference. Raises `ApiError`."""
        try:
            found: dict[str, Any] = self._easypost.shipment.retrieve(quote(identity, safe="")).to_dict()
        except NotFoundError:
            return None
        return found

    def _buy(self, identity: str, rate: Mapping[str, Any]) -> dict[str, Any]:
        try:
            made: dict[str, Any] = self._easypost.shipment.buy(identity, rate={"id": rate["id"]}).to_dict()
        except ApiError as error:
            if error.code != EXISTS:
                raise
            found = self._retrieve(identity)  # somebody was faster: with the label that we want
            if found is None or not reading.has_label(found):
                raise
            return found
        return made

    def _described(self, parcel: Parcel) -> dict[str, Any]:
        return {
            "to_address": reading.address(parcel.to),
            "from_address": self._from,
            "parcel": reading.parcel(parcel),
        }


def from_settings() -> EasyPostCarrier:
    """Return the client that the settings describe; the same one while they stay the same."""
    access = (settings.EASYPOST_API_KEY, settings.EASYPOST_API_BASE, settings.EASYPOST_WEBHOOK_SECRET)
    return _connected(access, ship_from(), settings.SHIP_FROM_PHONE, settings.CARRIER_TIMEOUT_SECONDS)


@cache
def _connected(access: tuple[str, str, str], sender: Address, phone: str, timeout_seconds: float) -> EasyPostCarrier:
    api_key, api_base, webhook_secret = access
    return EasyPostCarrier(
        api_key=api_key,
        api_base=api_base,
        webhook_secret=webhook_secret,
        sender=sender,
        phone=phone,
        timeout_seconds=timeout_seconds,
    )
