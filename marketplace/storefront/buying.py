"""Placing an order from a page, once per page, and saying why when that is refused."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from uuid import UUID

from django.utils.translation import gettext, gettext_noop

from inventory.selectors import ProductView
from marketplace.idempotency import services as idempotency
from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.problems import status_of
from marketplace.storefront.presentation.money import price
from marketplace.storefront.refusals import said
from orders import services
from orders.services import NewOrder, OrderLineRequest

ROUTE = "shop:buy"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a press came to nothing, for the page, which says a known `message` in its own language.

    `undecided`: it may still have gone through.
    """

    code: str
    message: str
    status: int
    undecided: bool = False


NOT_UNDERSTOOD = Refused("invalid_form", gettext_noop("Something in the form needs another look."), 400)


def new_order(
    data: Mapping[str, object],
    *,
    user_id: str,
    email: str,
    address: Mapping[str, str],
    language: str,
    pay_later: bool = False,
) -> NewOrder:
    """Say in the words of the orders' service what a valid form (its `cleaned_data`) asks for."""
    line = OrderLineRequest(
        sku=str(data["sku"]),
        quantity=int(str(data["quantity"])),
        price_minor=int(str(data["price_minor"])),
    )
    return NewOrder(
        lines=(line,),
        user_id=user_id,
        email=email,
        shipping_address=address,
        payment_method="" if pay_later else str(data["payment_method"]),
        language=language,
    )


def place_once(order: NewOrder, *, principal: str, key: str) -> UUID:
    """Place `order` unless `principal` has done so under this `key` already; return the one order's id.

    Opens its own transaction. Raises what `orders.services.place` and the idempotency keys refuse.
    """
    now = database_now()

    def work() -> idempotency.Answer:
        view = services.place(order, now=now)
        return idempotency.Answer(status=201, body={"id": str(view.id)}, headers={})

    answer = idempotency.run_once(
        idempotency.Scope(principal=principal, method="POST", route=ROUTE, key=key),
        fingerprint=idempotency.fingerprint(_asked(order)),
        now=now,
        work=work,
    )
    return UUID(answer.body["id"])


def _asked(order: NewOrder) -> dict[str, object]:
    """What makes two presses the same: all but the language of the page."""
    return {name: value for name, value in asdict(order).items() if name != "language"}


def explain(error: MarketplaceError, *, seen_minor: int, product: ProductView) -> Refused:
    """Say why the order was refused; `seen_minor` is the price that the page had shown."""
    status = status_of(error, in_body=True)
    if error.code == "price_changed":
        was, now = price(seen_minor, product.currency), price(product.price_minor, product.currency)
        message = gettext("The price changed while you were looking: it was %(was)s, and it is %(now)s now.") % {
            "was": was,
            "now": now,
        }
    elif error.code == "idempotency_key_reused":
        message = gettext("You have already ordered from this page. Press again if you want this as well.")
    elif error.code == "idempotency_in_progress":
        message = gettext("Your order is being placed right now. Press again to see it.")
        return Refused(error.code, message, status, undecided=True)
    elif error.retryable:
        message = gettext("We can’t take orders just now. Press again in a moment.")
        return Refused(error.code, message, status, undecided=True)
    else:
        message = said(error)
    return Refused(error.code, message, status)
