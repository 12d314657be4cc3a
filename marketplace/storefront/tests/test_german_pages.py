"""Every page in German, as it is rendered: nothing of what is known to be English is left on any of them."""

import re
from datetime import timedelta
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from django.conf import settings as site
from django.template.loader import render_to_string
from django.test import Client
from django.test.signals import template_rendered
from django.utils import translation

from fulfillment.testing import carrier_server, sandbox_carrier  # noqa: F401
from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from marketplace.sagas.models import SagaInstance
from marketplace.storefront.tests.pages import Page, look, press_buy_now
from marketplace.storefront.tests.test_checkout import check_out
from marketplace.storefront.tests.test_till import by_paypal, by_stripe  # noqa: F401
from orders.errors import NotCancellable
from orders.models import Order
from orders.returns import services
from orders.returns.selectors import returns_of
from orders.returns.services import Back
from tests.shop import delivered

pytestmark = pytest.mark.django_db(transaction=True)

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
ADDRESS = {"name": "Ada", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}
SHOWN = ("alt", "aria-label", "placeholder", "data-busy", "data-announce", "data-title")


@cache
def english():
    """The texts whose German is another, as patterns; the short ones, which could be part of something, apart."""
    with (Path(site.LOCALE_PATHS[0]) / "de" / "LC_MESSAGES" / "django.po").open("rb") as written:
        catalog = read_po(written, locale="de")
    texts = set()
    for message in catalog:
        singular, german = (one if isinstance(one, tuple) else (one,) for one in (message.id, message.string))
        texts |= {text for text, said in zip(singular, german, strict=True) if text and text != said}
    words = {text: re.sub(r"<[^>]+>|%\(\w+\)s", " ", text) for text in texts}
    short = {text for text in texts if len(words[text].split()) < 3}
    return [_pattern(text) for text in texts - short], [_pattern(text) for text in short]


def _pattern(text):
    plain = re.sub(r"<[^>]+>", "", text)
    return re.compile(re.sub(r"%\\\(\w+\\\)s", ".+?", re.escape(plain)))


class _Shown(HTMLParser):
    """Collects what a visitor reads or hears, piece by piece."""

    def __init__(self):
        super().__init__()
        self.pieces = []

    def handle_starttag(self, tag, attrs):
        self.pieces += [value for name, value in attrs if name in SHOWN and value]

    def handle_data(self, data):
        self.pieces.append(data)


def left_over(html):
    """What of `html` is English though there is German for it."""
    shown = _Shown()
    shown.feed(html)
    pieces = [" ".join(piece.split()) for piece in shown.pieces if piece.strip()]
    long, short = english()
    whole = " ".join(pieces)
    found = [one.pattern for one in long if one.search(whole)]
    return found + [piece for piece in pieces if any(one.fullmatch(piece) for one in short)]


def test_what_is_left_in_english_is_found():
    assert left_over("<p>Schön</p><p>You cancelled this order</p>") == ["You\\ cancelled\\ this\\ order"]
    assert left_over('<img alt="Sold out"><b> My orders </b>') == ["Sold out", "My orders"]
    assert left_over("<p>Pay €5.00</p>") == ["Pay €5.00"]
    assert left_over("<p>Sie haben diese Bestellung storniert</p>") == []


@pytest.fixture
def seen():
    """Checks each page it is given, and keeps the names of the templates that were rendered meanwhile."""

    class Seen:
        templates = set()

        def __call__(self, page, status=200):
            assert page.status == status
            assert left_over(page.html) == []
            assert 'lang="de"' in page.html or "<html" not in page.html
            return page

    def note(template, **_):
        Seen.templates.add(template.name)

    template_rendered.connect(note)
    yield Seen()
    template_rendered.disconnect(note)


@pytest.fixture
def german():
    return Client(headers={"Accept-Language": "de"})


def visit_the_shelves(german, seen, shop):
    seen(look(german, "/"))
    shop.stocked("laptop-1", 20, price_minor=129_900)
    shop.stocked("lamp-1", 0)
    shop.stocked("mug-1", 3)
    for address in ("/", "/?q=laptop", "/?q=nothing", "/shelves/shelf", "/products/lamp-1", "/products/laptop-1"):
        seen(look(german, address))
    seen(look(german, "/products/mug-1/availability?seen=9"))
    seen(look(german, "/checkout/laptop-1"))
    seen(look(german, "/nothing/here"), 404)


def become_known(german, seen):
    seen(look(german, "/sign-in"))
    seen(Page(german.post("/sign-in", {"username": "x", "password": "y"})))
    seen(look(german, "/register"))
    seen(Page(german.post("/register", {"username": "a b", "email": "x", "password1": "1", "password2": "2"})), 400)
    seen(look(german, "/orders"))


def order_and_watch(german, seen, shop):
    for changes in ({"quantity": "0"}, {"city": ""}, {"payment_method": "x"}, {"price_minor": "1"}, {"email": "x"}):
        page = seen(Page(check_out(german, "laptop-1", pay="now", **changes)), 409 if "price_minor" in changes else 400)
    assert page.all("arrival")
    address = check_out(german, "laptop-1", pay="now").headers["Location"]
    seen(look(german, address))
    for queue in ("inventory", "payments", "orders", "fulfillment"):
        shop.work(queues=(queue,))
        seen(look(german, address))
    shop.work()
    seen(look(german, address))
    seen(Page(german.post(f"{address}/cancel", follow=True)))
    shop.work()
    seen(look(german, address))
    seen(look(german, "/orders"))
    seen(look(german, "/products/laptop-1"))
    seen(Page(german.post(f"{address}/pay", {"payment_method": "tok_visa"}, follow=True)))


def be_refused(german, seen, shop, settings):
    for token in ("tok_declined", "tok_fraud", "tok_requires_action", "tok_review", "tok_delayed_success"):
        address = press_buy_now(german, "laptop-1", payment_method=token).headers["Location"]
        shop.work()
        seen(look(german, address))
    short = press_buy_now(german, "mug-1", quantity="9").headers["Location"]
    shop.work()
    seen(look(german, short))
    held = check_out(german, "laptop-1", pay="later").headers["Location"]
    shop.work()
    seen(look(german, held))
    settings.PAYMENT_ATTEMPTS = 2
    german.post(f"{held}/pay", {"payment_method": "tok_declined"})
    shop.work()
    seen(look(german, held))
    german.post(f"{held}/cancel")
    shop.work()
    seen(look(german, f"{held}/try-again"))
    seen(Page(german.post(f"{held}/try-again", {"quantity-laptop-1": "0"})), 400)
    stuck = press_buy_now(german, "laptop-1").headers["Location"]
    SagaInstance.objects.filter(subject_id=stuck.rpartition("/")[2]).update(
        status="NEEDS_ATTENTION", due_at=None, attention="stuck"
    )
    seen(look(german, stuck))


def send_something_back(german, seen, shop, carrier):
    buyer = User.objects.create_user("ada", email="ada@example.org")
    german.force_login(buyer)
    order = delivered(shop, shop.order("laptop-1", 2, user="ada", address=ADDRESS), carrier)
    address = f"/orders/{order.id}"
    seen(look(german, address))
    seen(look(german, f"{address}/return"))
    seen(Page(german.post(f"{address}/return", {"laptop-1": "0", "reason": ""})), 422)
    seen(Page(german.post(f"{address}/return", {"laptop-1": "1", "reason": "Zu laut."}, follow=True)))
    [wish] = returns_of(order.id)
    services.decide(wish.id, "APPROVED", actor="boss", reason="Gut.", now=database_now())
    shop.work()
    seen(look(german, address))
    services.receive(wish.id, back={"laptop-1": Back(1)}, reason="Wie neu.", actor="wanda", now=database_now())
    shop.work()
    seen(look(german, address))
    Order.objects.filter(pk=order.id).update(created_at=database_now() - timedelta(days=400))
    seen(look(german, "/orders"))


def fail(german, seen):
    with translation.override("de"):
        for name in ("400", "403", "403_csrf", "404", "409", "422", "500", "503"):
            html = render_to_string(f"{name}.html", {"refusal": NotCancellable()})
            assert left_over(html) == []


def test_no_page_has_english_left_on_it(german, seen, shop, settings, sandbox_carrier):  # noqa: F811
    visit_the_shelves(german, seen, shop)
    become_known(german, seen)
    order_and_watch(german, seen, shop)
    be_refused(german, seen, shop, settings)
    send_something_back(german, seen, shop, sandbox_carrier)
    fail(german, seen)
    ours = {path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.html")}
    at_providers = {name for name in ours if "stripe" in name or "paypal" in name}
    assert ours - at_providers - seen.templates == set()


@pytest.mark.parametrize("provider", ["by_stripe", "by_paypal"])
def test_no_page_at_a_provider_has_english_left_on_it(request, german, seen, provider):
    shop = request.getfixturevalue(provider)
    seen(look(german, "/products/laptop-1"))
    page = seen(look(german, "/checkout/laptop-1"))
    script = next((one["src"] for one in page.elements if "paypal.com" in one.get("src", "")), "locale=de_DE")
    assert "locale=de_DE" in script
    how = {"payment_method": "ctoken_secure"} if provider == "by_stripe" else {}
    address = check_out(german, "laptop-1", pay="now", **how).headers["Location"]
    shop.work()
    page = seen(look(german, address))
    assert page.one("confirm-at-bank")
    name = provider.removeprefix("by_")
    assert {f"storefront/parts/till_{name}.html", f"storefront/parts/confirm_{name}.html"} <= seen.templates
