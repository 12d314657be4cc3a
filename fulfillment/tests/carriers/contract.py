"""What every carrier must keep, whoever it is: subclass it, and say with `carrier` how to reach one.

`self.pick_up(carrier, shipment_key)` has the carrier scan the parcel.
"""

from dataclasses import replace
from typing import Any

import pytest

from fulfillment.carriers.base import Address, Carrier, LabelStatus, Outcome, Parcel
from marketplace.kernel.ids import new_id

PARCEL = Parcel(Address("Ada Lovelace", "Hauptstraße 1", "", "10115", "Berlin", "DE"), 1240, "standard", "M-1")


class CarrierContract:
    """The contract; `parcel` is what such a carrier would carry."""

    parcel = PARCEL

    @pytest.fixture
    def carrier(self) -> Carrier:
        raise NotImplementedError

    def pick_up(self, carrier: Any, shipment_key: str) -> None:
        raise NotImplementedError

    @staticmethod
    def key() -> str:
        return f"{new_id()}:buy_label"

    def bought(self, carrier: Carrier, key: str, parcel: Parcel | None = None) -> Any:
        parcel = parcel or self.parcel
        announced = carrier.create_shipment(shipment_key=key, parcel=parcel)
        assert announced.outcome is Outcome.DONE, announced
        return carrier.buy_label(key=f"{key}:label", shipment_key=key, reference=announced.reference, parcel=parcel)

    def test_a_label_has_a_tracking_number(self, carrier):
        key = self.key()
        reply = self.bought(carrier, key)
        assert reply.outcome is Outcome.DONE
        assert reply.tracking_number
        found = carrier.find(shipment_key=key, reference=reply.reference, tracking_number=reply.tracking_number)
        assert (found.status, found.tracking_number) == (LabelStatus.BOUGHT, reply.tracking_number)
        assert found.scans == ()

    def test_the_same_key_buys_one_label(self, carrier):
        key = self.key()
        first, again = self.bought(carrier, key), self.bought(carrier, key)
        assert first == again

    def test_nobody_knows_what_was_never_announced(self, carrier):
        assert carrier.find(shipment_key=self.key()) is None

    def test_there_is_nothing_to_void_where_no_label_was_bought(self, carrier):
        reply = carrier.void_label(key=f"{self.key()}:undo", shipment_key=self.key())
        assert (reply.outcome, reply.code) == (Outcome.DONE, "nothing_to_void")

    def test_a_label_is_voided_by_its_key_alone(self, carrier):
        key = self.key()
        self.bought(carrier, key)
        assert carrier.void_label(key=f"{key}:undo", shipment_key=key).outcome is Outcome.DONE
        assert carrier.find(shipment_key=key).status is LabelStatus.VOIDED
        assert carrier.void_label(key=f"{key}:undo", shipment_key=key).outcome is Outcome.DONE

    def test_what_was_picked_up_is_not_voided(self, carrier):
        key = self.key()
        self.bought(carrier, key)
        self.pick_up(carrier, key)
        reply = carrier.void_label(key=f"{key}:undo", shipment_key=key)
        assert (reply.outcome, reply.code) == (Outcome.REFUSED, "already_picked_up")
        assert carrier.track(shipment_key=key).scans

    def test_an_address_without_a_street_is_refused(self, carrier):
        parcel = replace(self.parcel, to=replace(self.parcel.to, line1=""))
        reply = carrier.create_shipment(shipment_key=self.key(), parcel=parcel)
        assert reply.outcome is Outcome.REFUSED

    def test_there_are_rates(self, carrier):
        rates = carrier.rates(self.parcel)
        assert self.parcel.service in {rate.service for rate in rates}
        assert all(0 <= rate.days_min <= rate.days_max for rate in rates)
