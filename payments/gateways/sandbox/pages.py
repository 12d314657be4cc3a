"""The sandbox gateway's pages for people: one to confirm a payment on, and its books."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2433; background: #f4f5f7; margin: 0; }
main { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
.card { background: #fff; border: 1px solid #d9dde5; border-radius: 8px; padding: 1.5rem; margin-bottom: 1.5rem;
  overflow-x: auto; }
.narrow { max-width: 28rem; margin: 4rem auto; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; } h2 { font-size: 1.1rem; margin: 0 0 .75rem; }
.amount { font-size: 2rem; font-weight: 600; margin: .5rem 0 1rem; }
button { font: inherit; padding: .6rem 1.2rem; border-radius: 6px; border: 1px solid #1f6f43; cursor: pointer;
  background: #1f6f43; color: #fff; margin-right: .5rem; }
button.no { background: #fff; color: #9b1c1c; border-color: #9b1c1c; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .75rem .35rem 0;
  border-bottom: 1px solid #e6e9ef; white-space: nowrap; } td.n, th.n { text-align: right; }
td code { white-space: normal; word-break: break-all; }
small, .quiet { color: #5a6376; } a { color: #1a4f8b; } code { font-size: .85em; }
"""
_DECIMALS: Final = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "UGX": 0, "KWD": 3, "BHD": 3, "OMR": 3, "TND": 3}


def money(minor: int, currency: str) -> str:
    """Write an amount of minor units as people do."""
    decimals = _DECIMALS.get(currency, 2)
    return f"{minor / 10**decimals:,.{decimals}f} {currency}"


def _page(title: str, content: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main>{content}</main></body></html>"
    )


def confirm(*, amount_minor: int, currency: str, reference: str) -> str:
    """The page on which the buyer confirms a payment, or doesn't."""
    return _page(
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
    return _page("Your payment", f'<div class="card narrow"><h1>{said}</h1><p>You can close this page.</p></div>')


def nothing_here() -> str:
    return _page("Not found", '<div class="card narrow"><h1>There is nothing at this address.</h1></div>')


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
    return _page(
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
        f"<tr><td>{escape(_time(charge['created_at']))}</td><td>{escape(charge['status'])}{dispute}</td>"
        f"<td>{escape(charge['method'])}</td>{amounts}"
        f'<td><a href="{escape(address)}"><code>{escape(charge["key"])}</code></a></td></tr>'
    )


def story(
    charge: Mapping[str, Any], movements: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
) -> str:
    """One charge: every movement of its money, and every webhook about it."""
    moved = "".join(
        f"<tr><td>{escape(_time(m['created_at']))}</td><td>{escape(m['kind'])}</td>"
        f"<td class=n>{escape(money(m['amount_minor'], charge['currency']))}</td>"
        f"<td><code>{escape(m['reference'])}</code></td><td><code>{escape(m['idempotency_key'])}</code></td></tr>"
        for m in movements
    )
    told = "".join(
        f"<tr><td>{escape(_time(e['created_at']))}</td><td>{escape(e['type'])}</td><td class=n>{e['tries']}</td>"
        f"<td>{escape(e['last_status']) or 'not yet'}</td><td><code>{escape(e['id'])}</code></td></tr>"
        for e in events
    )
    why = f"<p>{escape(charge['decline_code'])}: {escape(charge['decline_message'])}</p>"
    return _page(
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


def _time(iso: str) -> str:
    return iso.replace("T", " ")[:19]
