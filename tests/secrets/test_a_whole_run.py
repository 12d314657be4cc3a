"""The shop's secrets come from its environment, and stay there: a whole run of orders tells none of them to anybody.

Not its logs (of the libraries too, and with everything that they say for debugging), not its database with the events
and the webhooks in it, not Redis with the event streams, not the admin's pages, not the API.
"""

import base64
import json
import re
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import pytest
from stripe import WebhookSignature

from fulfillment.tests.carriers.easypost import fake as easypost
from marketplace.operations.demo import PASSWORD
from payments.tests.gateways.paypal import fake as paypal
from payments.tests.gateways.stripe import fake as stripe
from tests.postman import Postman
from tests.running import PATIENCE, RunningShop, eventually
from tests.shop import authorization_key

pytestmark = pytest.mark.timeout(1200)

SKU = "laptop-1"
MOST_PAGES = 100

SECRETS = {
    "SECRET_KEY": "canary0of1the2secret3key4canary5of6the7secret8key9",
    "SANDBOX_API_KEY": "sk_canary_of_the_sandbox",
    "SANDBOX_WEBHOOK_SECRET": f"whsec_{base64.b64encode(b'canary of the webhooks secret...').decode()}",
    "SANDBOX_CARRIER_API_KEY": "ck_canary_of_the_sandbox",
    "SANDBOX_CARRIER_WEBHOOK_SECRET": f"whsec_{base64.b64encode(b'canary of the carriers secret...').decode()}",
    "EASYPOST_API_KEY": "EZTKcanaryOfEasyPost",
    "EASYPOST_WEBHOOK_SECRET": "canary-of-easypost-webhooks",
    "METRICS_TOKEN": "canary-of-the-metrics",
    "STRIPE_SECRET_KEY": "sk_test_canary_of_stripe",
    "STRIPE_WEBHOOK_SECRET": "whsec_canary_of_stripe",
    "PAYPAL_CLIENT_ID": "canary-of-paypal-client",
    "PAYPAL_CLIENT_SECRET": "canary-of-paypal-secret",
    "PAYPAL_WEBHOOK_ID": "WH-canary-of-paypal",
}
ADDRESS = {"name": "Ada", "line1": "Hauptstr. 1", "postalCode": "10115", "city": "Berlin", "country": "DE"}
RATE = """
from fulfillment.models import DeliveryRate
DeliveryRate.objects.create(
    carrier="easypost", service="USPS:GroundAdvantage", up_to_grams=30_000, days_min=1, days_max=3)
"""
MAIL_LOGIN = ("shop", "canary/of@the mail server")
# Not the shop's own, but nobody's business: with it a buyer's browser may confirm a payment, and a webhook brings it.
BUYERS = "pi_1_secret_canary_of_a_buyer"


class Sandbox:
    environment = {"PAYMENT_GATEWAY": "sandbox", "SANDBOX_WEBHOOKS": "all"}
    methods = ("tok_visa", "tok_declined", "tok_timeout", "tok_delayed_success")
    ends = ("CONFIRMED", "FAILED", "CONFIRMED", "CONFIRMED")

    def webhooks(self, orders):
        return []  # it sends them itself


class Stripe:
    methods = (stripe.APPROVED, stripe.DECLINED, stripe.SECURE)
    ends = ("CONFIRMED", "FAILED", "CONFIRMED")

    def __init__(self, fake):
        self.fake, self.environment = fake, {"PAYMENT_GATEWAY": "stripe", "STRIPE_API_BASE": fake.url}
        self.environment["STRIPE_PUBLISHABLE_KEY"] = "pk_test_1"  # no secret

    def webhooks(self, orders):
        asking = orders[-1]
        self.fake.decide(authorization_key(asking["sagaId"]), approve=True)
        event = self.fake.event(authorization_key(asking["sagaId"]))
        event["data"]["object"]["client_secret"] = BUYERS
        body = json.dumps(event, indent=2)
        yield (
            {"Stripe-Signature": WebhookSignature.generate_signature_header(body, SECRETS["STRIPE_WEBHOOK_SECRET"])},
            body,
        )


class PayPal:
    methods = (paypal.PAGE,)
    ends = ("CONFIRMED",)

    def __init__(self, fake):
        self.fake, self.environment = fake, {"PAYMENT_GATEWAY": "paypal", "PAYPAL_API_BASE": fake.url}
        fake.login = SECRETS["PAYPAL_CLIENT_ID"], SECRETS["PAYPAL_CLIENT_SECRET"]

    def webhooks(self, orders):
        order_id = list(self.fake.orders)[-1]
        self.fake.approve(order_id)
        yield self.fake.webhook(order_id, webhook_id=SECRETS["PAYPAL_WEBHOOK_ID"], kind="CHECKOUT.ORDER.APPROVED")


@contextmanager
def _sandbox():
    yield Sandbox()


@contextmanager
def _stripe():
    with stripe.running() as fake:
        yield Stripe(fake)


@contextmanager
def _paypal():
    with paypal.running() as fake:
        yield PayPal(fake)


@pytest.mark.parametrize("bank", [_sandbox, _stripe, _paypal], ids=["sandbox", "stripe", "paypal"])
def test_no_secret_is_told_to_anybody(tmp_path, bank):
    with bank() as chosen, easypost.running() as carrier, post_office(knows_us=bank is _sandbox) as postman:
        carrier.api_key = SECRETS["EASYPOST_API_KEY"]
        shop = RunningShop(
            tmp_path / "shop",
            **SECRETS,
            **chosen.environment,
            CARRIER="easypost",
            EASYPOST_API_BASE=carrier.url,
            CARRIER_SWEEP_SECONDS="1",
            EMAIL_URL=f"smtp://{MAIL_LOGIN[0]}:{quote(MAIL_LOGIN[1], safe='')}@127.0.0.1:{postman.port}",
            LOG_LEVEL="DEBUG",
            PAYMENT_TIMEOUT_SECONDS="2",
            SAGA_RETRY_ATTEMPTS="20",
            PAYMENT_SWEEP_SECONDS="1",
            SAGA_RETRY_DELAY_SECONDS="0.2",
            SANDBOX_DECISION_SECONDS="0.5",
        )
        shop.start()
        try:
            assert shop.manage("shell", "-c", RATE).returncode == 0
            created = buy(shop, chosen)
            ship(shop, created[0], carrier)
            eventually(lambda: postman.taken if bank is _sandbox else postman.conversations > 1)
            eventually(lambda: "ORDER_CONFIRMED" in "".join(streams(shop)))
            told = {
                **dict(pages(shop)),
                **dict(answers(shop, created)),
                "the database": shop.manage("dumpdata").stdout,
                "the events": "\n".join(streams(shop)),
            }
        finally:
            assert shop.stop() == 0
    logs = [shop.said, *shop.layout.logs.rglob("*")]
    told |= {str(log): log.read_text(errors="replace") for log in logs if log.is_file()}
    assert len(told["the database"]) > 10_000
    assert "ORDER_CONFIRMED" in told["the events"]
    assert any(created[0]["number"] in page for address, page in told.items() if "/admin/orders/" in address)
    assert [(name, where) for name, secret in hidden() for where, text in told.items() if secret in text] == []


def hidden():
    """Every secret, and the spellings in which they travel."""
    yield from SECRETS.items()
    yield "the key in SANDBOX_WEBHOOK_SECRET", SECRETS["SANDBOX_WEBHOOK_SECRET"].removeprefix("whsec_")
    login = f"{SECRETS['PAYPAL_CLIENT_ID']}:{SECRETS['PAYPAL_CLIENT_SECRET']}"
    yield "PayPal's login", base64.b64encode(login.encode()).decode()
    yield "PayPal's access token", paypal.TOKEN
    yield "a buyer's client_secret", BUYERS
    login, password = MAIL_LOGIN
    yield "the mail server's password", password
    yield "... as it stands in EMAIL_URL", quote(password, safe="")
    yield "... as AUTH PLAIN sends it", base64.b64encode(f"\0{login}\0{password}".encode()).decode()
    yield "... as AUTH LOGIN sends it", base64.b64encode(password.encode()).decode()


def buy(shop, bank):
    """Place an order by each method, and tell of what the gateway decides later; somebody forges a webhook too."""
    created = []
    for method in bank.methods:
        created += shop.post_orders(SKU, 1, token=method, email="ada@example.com", shippingAddress=ADDRESS)
    shop.decided(created[:-1])
    eventually(lambda: (shop.order(created[-1])["payment"] or {}).get("transactionId"))
    gateway = bank.environment["PAYMENT_GATEWAY"]
    address = f"/api/payments/webhooks/{gateway}"
    for headers, body in bank.webhooks(created):
        sent = shop.http.post(address, content=body, headers={**headers, "Content-Type": "application/json"})
        assert sent.status_code == 202, sent.text
    assert shop.http.post(address, content=b"{}", headers={"Stripe-Signature": "t=1,v1=00"}).status_code == 400
    assert tuple(order["status"] for order in shop.decided(created)) == bank.ends
    return created


@contextmanager
def post_office(*, knows_us):
    """A mail server that wants a password: ours, or another."""
    postman = Postman(login=MAIL_LOGIN if knows_us else ("shop", "another"))
    postman.start()
    try:
        yield postman
    finally:
        postman.stop()


def ship(shop, order, carrier):
    """Have EasyPost sell the label of a parcel, and tell of its scan; somebody forges one too."""
    eventually(lambda: shop.order(order)["shipment"])
    login = shop.http.post("/api/token", json={"username": "warehouse", "password": PASSWORD}).raise_for_status()
    staff = {"Authorization": f"Token {login.json()['token']}"}
    packed = shop.http.post("/api/fulfillment/packed", json={"orders": [order["number"]]}, headers=staff)
    assert packed.is_success, packed.text
    eventually(lambda: shop.order(order)["status"] == "SHIPPED")
    [parcel] = carrier.shipments.values()
    event = json.dumps(carrier.scan(parcel["id"], "in_transit")).encode()
    signed = {"X-Hmac-Signature": easypost.signature(event, SECRETS["EASYPOST_WEBHOOK_SECRET"])}
    address = "/api/fulfillment/webhooks/easypost"
    assert shop.http.post(address, content=event, headers=signed).status_code == 202
    assert shop.http.post(address, content=event, headers={"X-Hmac-Signature": "hmac-sha256-hex=00"}).status_code == 400
    eventually(lambda: shop.order(order)["status"] == "IN_TRANSIT")


def pages(shop):
    """Every page of the admin that links lead to, filters and sortings aside."""
    with httpx.Client(base_url=shop.url, follow_redirects=True, timeout=PATIENCE, trust_env=False) as staff:
        form = staff.get("/admin/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)[1]
        login = {"username": "staff", "password": PASSWORD, "csrfmiddlewaretoken": token, "next": "/admin/"}
        home = staff.post("/admin/login/", data=login, headers={"Referer": f"{shop.url}/admin/login/"})
        assert "logout" in home.text
        seen, ahead = set(), ["/admin/"]
        while ahead and len(seen) < MOST_PAGES:
            address = ahead.pop(0)
            if address in seen:
                continue
            seen.add(address)
            page = staff.get(address)
            assert page.status_code < 500, address
            yield address, page.text
            ahead += [one for one in re.findall(r'href="(/admin/[^"?#]*)"', page.text) if "logout" not in one]


def answers(shop, created):
    """What the API says to the buyers, and to anybody."""
    for order in created:
        own = {"X-Order-Secret": order["clientSecret"]}
        for path in ("", "/saga"):
            address = f"/api/orders/{order['id']}{path}"
            yield address, shop.http.get(address, headers=own).text
    for address in ("/", "/api/products", "/api/schema", "/health/ready", "/metrics"):
        yield address, shop.http.get(address).text


def streams(shop):
    redis = shop.redis()
    for name in redis.scan_iter(_type="stream"):
        yield from (repr(entry) for entry in redis.xrange(name))
