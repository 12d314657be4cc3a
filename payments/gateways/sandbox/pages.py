"""The sandbox gateway's pages for people: one to confirm a payment on, and its books."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote

from marketplace.sandbox.pages import moment, nothing_here, page

__all__ = ["books", "confirm", "nothing_here", "over", "story"]

_DECIMALS: Final = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "UGX": 0, "KWD": 3, "BHD": 3, "OMR": 3, "TND": 3}


def money(minor: int, currency: str) -> str:
    """Write an amount of minor units as people do."""
    decimals = _DECIMALS.get(currency, 2)
    return f"{minor / 10**decimals:,.{decimals}f} {currency}"


def confirm(*, amount_minor: int, currency: str, reference: str) -> str:
    """The page on which the buyer confirms a payment, or doesn't."""
    return page(
        "Confirm your payment",
        '<div class="card narrow"><h1>Confirm your payment</h1>'
        "<p>Your bank (the sandbox) asks: do you want to pay this?</p>"
        f'<p class="amount">{escape(money(amount_minor, currency))}</p>'
        '<form method="post">'
        '<button name="decision" value="approve">Yes, pay</button>'
        '<button class="no" name="decision" value="decline">No, decline</button>'
        f"</form><p><small>Reference {escape(reference)}. No real money is moved here.</small></p></div>",
    )


def over(status: str) -> str:
    """The page for who comes back to a payment about which nothing is asked any more."""
    said = {
        "VOIDED": "The shop has cancelled this payment. Nothing was taken.",
        "DECLINED": "This payment was declined. Nothing was taken.",
    }.get(status, "This payment is confirmed.")
    return page("Your payment", f'<div class="card narrow"><h1>{said}</h1><p>You can close this page.</p></div>')


def books(results: Sequence[Mapping[str, Any]], sums: Sequence[Mapping[str, Any]]) -> str:
    """What the bank believes: the sums, and the newest charges."""
    totals = "".join(
        f"<tr><td>{escape(row['currency'])}</td><td class=n>{row['charges']}</td>"
        + "".join(
            f"<td class=n>{escape(money(row[name], row['currency']))}</td>"
            for name in ("held", "captured", "refunded", "reversed")
        )
        + "</tr>"
        for row in sums
    )
    return page(
        "The sandbox bank's books",
        "<h1>The sandbox bank's books</h1>"
        '<div class="card"><h2>In all</h2><table><tr><th>Currency</th><th class=n>Charges</th><th class=n>Held</th>'
        "<th class=n>Captured</th><th class=n>Refunded</th><th class=n>Reversed</th></tr>"
        f"{totals}</table></div>"
        f'<div class="card"><h2>The newest {len(results)}</h2><table><tr><th>When</th><th>Status</th>'
        "<th>Token</th><th class=n>Amount</th><th class=n>Captured</th><th class=n>Refunded</th>"
        f"<th class=n>Reversed</th><th>Key</th></tr>{''.join(map(_line, results))}</table></div>",
    )


def _line(charge: Mapping[str, Any]) -> str:
    currency = charge["currency"]
    amounts = "".join(
        f"<td class=n>{escape(money(charge[name], currency))}</td>"
        for name in ("amount_minor", "captured_minor", "refunded_minor", "reversed_minor")
    )
    dispute = f" <small>dispute {escape(charge['dispute'].lower())}</small>" if charge["dispute"] else ""
    address = f"/books/{quote(charge['key'], safe='')}"
    return (
        f"<tr><td>{escape(moment(charge['created_at']))}</td><td>{escape(charge['status'])}{dispute}</td>"
        f"<td>{escape(charge['method'])}</td>{amounts}"
        f'<td><a href="{escape(address)}"><code>{escape(charge["key"])}</code></a></td></tr>'
    )


def story(
    charge: Mapping[str, Any], movements: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
) -> str:
    """One charge: every movement of its money, and every webhook about it."""
    moved = "".join(
        f"<tr><td>{escape(moment(m['created_at']))}</td><td>{escape(m['kind'])}</td>"
        f"<td class=n>{escape(money(m['amount_minor'], charge['currency']))}</td>"
        f"<td><code>{escape(m['reference'])}</code></td><td><code>{escape(m['idempotency_key'])}</code></td></tr>"
        for m in movements
    )
    told = "".join(
        f"<tr><td>{escape(moment(e['created_at']))}</td><td>{escape(e['type'])}</td><td class=n>{e['tries']}</td>"
        f"<td>{escape(e['last_status']) or 'not yet'}</td><td><code>{escape(e['id'])}</code></td></tr>"
        for e in events
    )
    why = f"<p>{escape(charge['decline_code'])}: {escape(charge['decline_message'])}</p>"
    return page(
        "A charge",
        f'<p><a href="/">All charges</a></p><h1>{escape(charge["status"])}: '
        f"{escape(money(charge['amount_minor'], charge['currency']))} by {escape(charge['method'])}</h1>"
        f'<p class="quiet"><code>{escape(charge["key"])}</code> = <code>{escape(charge["reference"])}</code></p>'
        f"{why if charge['decline_code'] else ''}"
        '<div class="card"><h2>Movements</h2><table><tr><th>When</th><th>What</th><th class=n>Amount</th>'
        f"<th>Reference</th><th>Idempotency key</th></tr>{moved}</table></div>"
        '<div class="card"><h2>Webhooks</h2><table><tr><th>When</th><th>Type</th><th class=n>Tries</th>'
        f"<th>Answered</th><th>Id</th></tr>{told}</table></div>",
    )
