"""Stripe and PayPal as a browser meets them: their scripts, fields and windows, from the addresses that are theirs.

Nothing of the shop is replaced. What a browser asks of `js.stripe.com`, `api.stripe.com` or `www.paypal.com` is
answered here, and what the buyer decides there reaches the stateful fake that the shop's own server talks to.
"""

import json
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import BrowserContext, Route

_HERE = Path(__file__).parent
_ANYBODY = {"Access-Control-Allow-Origin": "*"}
_tokens = count(1)

# Each script comes before what it listens to, which could be pressed sooner than a listener is there.
FIELDS = """
<script>
  const cards = {"4242": "visa", "0002": "declined", "9995": "poor", "3220": "secure"};
  document.addEventListener("input", (event) => {
    const digits = event.target.value.replaceAll(" ", "");
    parent.postMessage({card: digits.length === 16 ? cards[digits.slice(-4)] || "" : "", typed: digits}, "*");
  });
</script>
<label>Card number <input name="number" inputmode="numeric"></label>
"""
BANK = """
<p>Is that you?</p>
<button onclick="parent.postMessage('approve', '*')">Yes, it is me</button>
<button onclick="parent.postMessage('fail', '*')">No</button>
"""
BUTTON = """
<script>
  let popup = null, agreed = false;
  document.addEventListener("click", (event) => {
    if (!event.target.matches("button")) return;
    popup = window.open("about:blank", "_blank", "width=400,height=600");
    agreed = false;
    parent.postMessage("pressed", "*");
    const watch = setInterval(() => {
      if (!popup || !popup.closed) return;
      clearInterval(watch);
      if (popup !== null && !agreed) parent.postMessage("closed", "*");
      popup = null;
    }, 50);
  });
  window.addEventListener("message", (event) => {
    if (event.data.close) { const it = popup; popup = null; it.close(); }
    if (event.data.show) popup.location = "https://www.paypal.com/checkoutnow?token=" + event.data.show;
    if (event.data === "agreed") { agreed = true; parent.postMessage("approved", "*"); }
  });
</script>
<button>Pay with PayPal</button>
"""
WINDOW = """
<h1>PayPal</h1>
<script>
  document.addEventListener("click", async (event) => {
    if (!event.target.matches("#agree")) return;
    await fetch("/agree" + location.search, {method: "POST"});
    window.opener.postMessage("agreed", "*");
    window.close();
  });
</script>
<button id="agree">Agree and pay</button> <button onclick="window.close()">Cancel</button>
"""


def be_stripe(context: BrowserContext, fake: Any) -> None:
    """Answer for Stripe in this browser; `fake` keeps its books."""

    def answer(route: Route) -> None:
        url = urlsplit(route.request.url)
        match url.hostname, url.path:
            case "js.stripe.com", "/fields.html":
                route.fulfill(body=FIELDS, content_type="text/html")
            case "hooks.stripe.com", "/3ds.html":
                route.fulfill(body=BANK, content_type="text/html")
            case "js.stripe.com", path if path.endswith("/stripe.js"):
                route.fulfill(body=(_HERE / "stripe.js").read_text(), content_type="text/javascript")
            case "api.stripe.com", "/v1/confirmation_tokens":
                card = json.loads(route.request.post_data or "")["card"]
                route.fulfill(json={"id": f"ctoken_{card}_n{next(_tokens)}"}, headers=_ANYBODY)
            case "api.stripe.com", "/v1/decide":
                said = json.loads(route.request.post_data or "")
                key = fake.intents[said["intent"]]["metadata"]["marketplace_key"]
                fake.decide(key, approve=said["approve"])
                route.fulfill(json={}, headers=_ANYBODY)
            case _:
                route.abort()

    context.route("https://*.stripe.com/**", answer)


def be_paypal(context: BrowserContext, fake: Any) -> None:
    """Answer for PayPal in this browser; `fake` keeps its books."""

    def answer(route: Route) -> None:
        url = urlsplit(route.request.url)
        match url.path:
            case "/sdk/js":
                asked = {name: values[0] for name, values in parse_qs(url.query).items()}
                assert (asked["intent"], asked["client-id"], asked["currency"]) == ("authorize", "test", "EUR"), asked
                route.fulfill(body=(_HERE / "paypal.js").read_text(), content_type="text/javascript")
            case "/button.html":
                route.fulfill(body=BUTTON, content_type="text/html")
            case "/checkoutnow":
                route.fulfill(body=WINDOW, content_type="text/html")
            case "/agree":
                fake.approve(parse_qs(url.query)["token"][0])
                route.fulfill(status=204)
            case _:
                route.abort()

    context.route("https://www.paypal.com/**", answer)
