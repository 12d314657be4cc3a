"""The sandbox carrier's pages for people: its books, where a parcel can be moved on, and what a buyer may see."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from fulfillment.carriers.sandbox.behaviour import POSTAL_CODES
from fulfillment.carriers.sandbox.ledger import FOLLOWS
from marketplace.sandbox.pages import moment, nothing_here, page

__all__ = ["books", "nothing_here", "parcel", "track"]

_NAMES = {
    "": "waits to be picked up",
    "PICKED_UP": "picked up",
    "IN_TRANSIT": "in transit",
    "OUT_FOR_DELIVERY": "out for delivery",
    "EXCEPTION": "held up",
    "RETURNED": "goes back",
    "DELIVERED": "delivered",
}
_BUTTONS = {
    "PICKED_UP": "Pick it up",
    "IN_TRANSIT": "Next depot",
    "OUT_FOR_DELIVERY": "Put it into the van",
    "EXCEPTION": "Nobody at home",
    "RETURNED": "Send it back",
    "DELIVERED": "Hand it over",
}


def _stands(shipment: Mapping[str, Any]) -> str:
    if shipment["status"] == "BOUGHT":
        return _NAMES[shipment["position"]]
    return {"ANNOUNCED": "announced, no label", "VOIDED": "label voided"}[shipment["status"]]


def _expected(shipment: Mapping[str, Any]) -> str:
    """When it is to be at the door, as long as it is on its way there."""
    comes = shipment["status"] == "BOUGHT" and shipment["position"] not in {"DELIVERED", "RETURNED"}
    return f"<p>Expected on {escape(shipment['expected'])}.</p>" if comes and shipment["expected"] else ""


def books(body: Mapping[str, Any]) -> str:
    """What the carrier believes: the sums, the newest parcels, its door, and what can be provoked."""
    sums = body["sums"]
    door = "open" if body["closed"] else "close"
    state = "The carrier is down: whatever the shop asks is turned away." if body["closed"] else "The carrier is open."
    name = "Open it again" if body["closed"] else "Close it (the carrier is down)"
    provoked = "".join(
        f"<tr><td><code>{escape(code)}</code></td><td class=long>{escape(ways.told)}</td></tr>"
        for code, ways in POSTAL_CODES.items()
    )
    lines = "".join(map(_line, body["results"]))
    return page(
        "The sandbox carrier's books",
        "<h1>The sandbox carrier's books</h1>"
        f'<div class="card"><p>{sums["announced"]} announced, {sums["bought"]} labels bought, {sums["voided"]} voided, '
        f"{sums['delivered']} delivered.</p><p>{state}</p>"
        f'<form method="post" action="/"><button class="no" name="deed" value="{door}">{name}</button></form></div>'
        f'<div class="card"><h2>The newest {len(body["results"])}</h2><table><tr><th>When</th><th>Order</th>'
        f"<th>Stands</th><th>To</th><th class=n>Grams</th><th>Tracking number</th></tr>{lines}</table></div>"
        '<div class="card"><h2>Failures on demand</h2><p>By the postal code of the address, in any country:</p>'
        f"<table>{provoked}</table></div>",
    )


def _line(shipment: Mapping[str, Any]) -> str:
    to = shipment["address"]
    link = f"/parcels/{quote(shipment['key'], safe='')}"
    return (
        f"<tr><td>{escape(moment(shipment['created_at']))}</td>"
        f'<td><a href="{escape(link)}">{escape(shipment["known_as"] or shipment["reference"])}</a></td>'
        f"<td>{escape(_stands(shipment))}</td>"
        f"<td>{escape(to['postal_code'])} {escape(to['city'])}, {escape(to['country'])}</td>"
        f"<td class=n>{shipment['weight_grams']}</td><td><code>{escape(shipment['tracking_number'])}</code></td></tr>"
    )


def parcel(shipment: Mapping[str, Any]) -> str:
    """One parcel: what happened to it, what was told of it, and what can happen next."""
    buttons = ""
    if shipment["status"] == "BOUGHT":
        buttons = "".join(
            f'<button name="deed" value="{kind}">{_BUTTONS[kind]}</button>' for kind in FOLLOWS[shipment["position"]]
        )
        if shipment["scans"]:
            buttons += '<button class="no" name="deed" value="again">Tell the last scan again</button>'
    to = ", ".join(escape(line) for line in shipment["address"].values() if line)
    told = "".join(
        f"<tr><td>{escape(moment(e['created_at']))}</td><td>{escape(e['type'])}</td><td class=n>{e['tries']}</td>"
        f"<td>{escape(e['last_status']) or 'not yet'}</td><td><code>{escape(e['id'])}</code></td></tr>"
        for e in shipment["events"]
    )
    return page(
        "A parcel",
        f'<p><a href="/">All parcels</a></p><h1>{escape(shipment["known_as"] or shipment["reference"])}: '
        f"{escape(_stands(shipment))}</h1>"
        f'<div class="card"><p>{to}<br>{shipment["weight_grams"]} g, {escape(shipment["service"])}</p>'
        f"{_expected(shipment)}<p>Tracking number <code>{escape(shipment['tracking_number']) or 'none'}</code></p>"
        f'<form method="post">{buttons}</form></div>'
        f'<div class="card"><h2>Scans</h2><table>{_scans(shipment["scans"])}</table></div>'
        '<div class="card"><h2>Webhooks</h2><table><tr><th>When</th><th>Type</th><th class=n>Tries</th>'
        f"<th>Answered</th><th>Id</th></tr>{told}</table></div>"
        f'<p class="quiet"><code>{escape(shipment["key"])}</code> = <code>{escape(shipment["reference"])}</code></p>',
    )


def track(shipment: Mapping[str, Any]) -> str:
    """What a buyer sees: where the parcel is, and neither whose it is nor where it goes."""
    return page(
        "Your parcel",
        f'<div class="card narrow"><h1>Your parcel: {escape(_stands(shipment))}</h1>'
        f"<p><code>{escape(shipment['tracking_number'])}</code></p>{_expected(shipment)}"
        f"<table>{_scans(shipment['scans'])}</table><p><small>No real parcel is carried here.</small></p></div>",
    )


def _scans(scans: Iterable[Mapping[str, Any]]) -> str:
    return "".join(
        f"<tr><td>{escape(moment(scan['at']))}</td><td>{escape(_NAMES[scan['kind']])}</td>"
        f"<td class=long>{escape(scan['place'])}</td><td class=long>{escape(scan['message'])}</td></tr>"
        for scan in scans
    )
