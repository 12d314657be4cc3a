"""The real sandbox carrier for tests.

A conftest.py gets the fixtures by `from fulfillment.testing import carrier_server, sandbox_carrier  # noqa: F401`.
There is one server for each test process (so for each xdist worker), on a port and with a ledger of its own.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import pytest

from fulfillment.carriers.sandbox.client import SandboxCarrier
from marketplace.sandbox.testing import PATIENCE_SECONDS, SandboxProcess, http


class CarrierServer(SandboxProcess):
    """The sandbox carrier's service, and what its own people do."""

    module = "fulfillment.carriers.sandbox"
    prefixes = ("CARRIER", "SANDBOX_")
    api_key: Final = "ck_test_sandbox"

    def own_environment(self) -> dict[str, str]:
        return {"SANDBOX_CARRIER_API_KEY": self.api_key}

    @property
    def environment(self) -> dict[str, str]:
        """What another process of the shop needs in its environment to use this carrier."""
        return {
            "CARRIER": "sandbox",
            "SANDBOX_CARRIER_URL": self.url,
            "SANDBOX_CARRIER_API_KEY": self.api_key,
            "SANDBOX_CARRIER_WEBHOOK_SECRET": self.webhook_secret,
        }

    def tell(self, url: str, **environment: str) -> None:
        """Start it again so that it sends its webhooks to `url`, signed with `webhook_secret`."""
        known = {"SANDBOX_CARRIER_WEBHOOK_URL": url, "SANDBOX_CARRIER_WEBHOOK_SECRET": self.webhook_secret}
        self.restart(**{**known, **environment})

    def carrier(self, *, url: str = "", timeout_seconds: float = PATIENCE_SECONDS) -> SandboxCarrier:
        """Return a client of its own; by another `url` for example through a `LossyProxy`."""
        return SandboxCarrier(
            url=url or self.url,
            api_key=self.api_key,
            timeout_seconds=timeout_seconds,
            webhook_secret=self.webhook_secret,
        )

    def shipment(self, shipment_key: str) -> dict[str, Any]:
        """What the ledger believes about one shipment, with its scans and webhooks; empty: nothing."""
        response = http().get(self._path(shipment_key), headers=self._key)
        found: dict[str, Any] = response.json() if response.status_code == 200 else {}
        return found

    def scan(self, shipment_key: str, *kinds: str) -> None:
        """Let these things happen to a parcel, one after the other."""
        for kind in kinds:
            path = self._path(shipment_key, "/scan")
            http().post(path, json={"kind": kind}, headers=self._key).raise_for_status()

    def close_door(self, *, closed: bool = True) -> None:
        """Take the carrier down, or up again, by the button on its page."""
        http().post(f"{self.url}/", data={"deed": "close" if closed else "open"})

    def refresh(self) -> None:
        """Let it run as it does by default, with its door open."""
        super().refresh()
        self.close_door(closed=False)

    def _path(self, shipment_key: str, what: str = "") -> str:
        return f"{self.url}/v1/shipments/{quote(shipment_key, safe='')}{what}"

    @property
    def _key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}


@pytest.fixture(scope="session")
def carrier_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarrierServer]:
    """The one server of this test process. Tests ask for `sandbox_carrier`."""
    server = CarrierServer(tmp_path_factory.mktemp("carrier"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def sandbox_carrier(carrier_server: CarrierServer, settings: Any) -> CarrierServer:
    """A running sandbox carrier, named in the settings: `fulfillment.services.send` goes there."""
    carrier_server.refresh()
    settings.CARRIER = "sandbox"
    settings.SANDBOX_CARRIER_URL = carrier_server.url
    settings.SANDBOX_CARRIER_API_KEY = carrier_server.api_key
    settings.SANDBOX_CARRIER_WEBHOOK_SECRET = carrier_server.webhook_secret
    return carrier_server
