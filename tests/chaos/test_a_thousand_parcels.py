"""A thousand orders are packed in one batch, labelled by a real worker at the carrier's own service, and printed."""

import re
import sqlite3
from contextlib import closing

import httpx
import pypdfium2
import pytest

from marketplace.operations.demo import PASSWORD
from tests.running import PATIENCE, RunningShop, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

COUNT = 1000
ADMIN = "/admin/fulfillment/batch"

# They are placed by the hundred, as the API does where many come at once.
PLACE = f"""
from django.db import transaction
from inventory.services import receive
from marketplace.kernel.clock import database_now
from orders import services
from orders.services import NewOrder, OrderLineRequest
where = dict(name="Ada", line1="Hauptstr. 1", line2="", postal_code="10115", city="Berlin", country="DE")
order = NewOrder(lines=(OrderLineRequest(quantity=1, sku="mouse-1"),), user_id="user-1", payment_method="tok_visa",
                 shipping_address=where)
receive(sku="mouse-1", quantity={COUNT}, now=database_now(), actor="test", reason="for the test")
for _ in range({COUNT} // 100):
    with transaction.atomic():
        services.place_many([order] * 100, now=database_now())
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    shop = RunningShop(tmp_path_factory.mktemp("parcels"), PAYMENT_LATENCY_MS="0", SANDBOX_CARRIER_LATENCY_MS="600")
    shop.start()
    yield shop
    assert shop.audit() == ""
    assert shop.stop() == 0


class Packer:
    """Somebody who packs, and what the screens say to them."""

    def __init__(self, shop):
        self.http = httpx.Client(base_url=shop.url, timeout=PATIENCE, trust_env=False, follow_redirects=True)
        self.http.get("/admin/login/")
        self.post("/admin/login/", username="warehouse", password=PASSWORD)

    def get(self, path, **query):
        return self.http.get(path, params=query).raise_for_status()

    def post(self, path, **fields):
        token = self.http.cookies["csrftoken"]
        headers = {"Referer": str(self.http.base_url)}
        fields = {"csrfmiddlewaretoken": token, **fields}
        return self.http.post(path, data=fields, headers=headers).raise_for_status()


def labels_at_the_carrier(shop):
    """Every parcel that the carrier has in its own books: the order's number, and the tracking number it was sold."""
    ledger = f"file:{shop.layout.carrier_data}/ledger.sqlite3?mode=ro"
    with closing(sqlite3.connect(ledger, uri=True, timeout=60)) as books:
        return books.execute("SELECT known_as, tracking_number FROM shipments WHERE NOT voided").fetchall()


def test_a_thousand_orders_in_one_batch(shop):
    placed = shop.manage("shell", "-c", PLACE)
    assert placed.returncode == 0, placed.stderr
    packer = Packer(shop)
    pick = f"{ADMIN}/pick/"
    eventually(lambda: f"{COUNT} wait" in packer.get(pick, size=20).text, 600)
    page = packer.get(pick, size=COUNT)
    assert f"Fetch {COUNT} units for {COUNT} orders" in page.text

    shown = re.search(r'name="shown" value="([^"]+)"', page.text).group(1)
    batch = packer.post(f"{pick}?size={COUNT}", shown=shown)
    assert f"{COUNT} of {COUNT} still to be packed" in batch.text
    address = str(batch.url)
    seen = [_labelled(packer.post(f"{address.removesuffix('change/')}packed/").text)]
    progress = f"{address.removesuffix('change/')}progress/"
    eventually(lambda: seen.append(_labelled(packer.get(progress).text)) or seen[-1] == COUNT, 600)

    assert seen == sorted(seen)
    assert any(0 < count < COUNT for count in seen)  # it was shown while it went on: the carrier takes its time
    assert "all there" in packer.get(progress).text
    sold = labels_at_the_carrier(shop)
    assert len({number for number, _ in sold}) == len(sold) == COUNT
    assert len({tracking for _, tracking in sold} - {None}) == COUNT
    content = packer.post(f"{address.removesuffix('change/')}labels/").content
    printed = pypdfium2.PdfDocument(content)
    assert len(printed) == COUNT
    texts = [printed[at].get_textpage().get_text_range() for at in (0, COUNT - 1)]
    assert all(any(number in text for number, _ in sold) for text in texts)
    assert "Every label is printed" in packer.get(f"{ADMIN}/labels/").text


def _labelled(html):
    """How many have their label, as the page says it."""
    return int(re.search(r"<strong>(\d+)</strong> labelled", html).group(1))
