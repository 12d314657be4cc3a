"""Reading pages the way a test needs it: by the hooks that browser tests use too."""

import re
from html.parser import HTMLParser
from typing import Any

from django.http import HttpResponse
from django.test import Client

ADDRESS = {
    "name": "Ada Lovelace", "line1": "12 St James’s Square", "postal_code": "SW1Y 4JH", "city": "London",
    "country": "GB",
}  # fmt: skip
VOID = {"img", "input", "link", "meta", "br", "hr", "path", "circle", "rect"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[dict[str, Any]] = []
        self._open: list[tuple[str, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = {"tag": tag, "text": "", **{name: value or "" for name, value in attrs}}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append((tag, element))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, element in self._open:
            element["text"] += data


class Page:
    """A page's elements, each a dict of its attributes, its `tag` and its `text`."""

    def __init__(self, response: HttpResponse) -> None:
        self.html = response.content.decode()
        self.status = response.status_code
        parser = _Page()
        parser.feed(self.html)
        self.elements = parser.elements
        for element in self.elements:
            element["text"] = " ".join(element["text"].split())

    def all(self, testid: str) -> list[dict[str, Any]]:
        return [element for element in self.elements if element.get("data-testid") == testid]

    def one(self, testid: str) -> dict[str, Any]:
        found = self.all(testid)
        assert len(found) == 1, f"{len(found)} elements are called {testid}"
        return found[0]

    def text(self, testid: str) -> str:
        return str(self.one(testid)["text"])

    def by_id(self, name: str) -> dict[str, Any]:
        return next(element for element in self.elements if element.get("id") == name)

    def fields(self, action: str) -> dict[str, str]:
        """What the form with this `action` sends when nothing in it is touched."""
        form = re.search(rf'<form[^>]*action="{re.escape(action)}".*?</form>', self.html, re.DOTALL)
        assert form, f"no form goes to {action}"
        inner = _Page()
        inner.feed(form.group(0))
        sent: dict[str, str] = {}
        select = ""
        for element in inner.elements:
            name = element.get("name", "")
            if element["tag"] == "select":
                select = name
            elif element["tag"] == "option":
                if "selected" in element or select not in sent:
                    sent[select] = element["value"]
            elif element["tag"] == "input" and (element.get("type") != "radio" or "checked" in element):
                sent[name] = element.get("value", "")
        sent.pop("csrfmiddlewaretoken", None)
        return sent


def look(client: Client, address: str, **headers: Any) -> Page:
    """Open a page."""
    return Page(client.get(address, **headers))


def press_buy_now(client: Client, product: str, **changes: Any) -> HttpResponse:
    """Open a product's page and press Buy Now, with `changes` to what its form holds.

    Where the shop doesn't know yet where it goes, that leads to the checkout: say so there, and press it once more.
    """
    page = look(client, f"/products/{product}")
    if page.all("sent-to"):
        return client.post("/buy", {**page.fields("/buy"), **changes})
    checkout = f"/checkout/{product}"
    form = look(client, checkout, query_params=page.fields(checkout)).fields(checkout)
    return client.post(checkout, {**form, **ADDRESS, "pay": "now", **changes})


def remember_address(client: Client, **changes: str) -> Client:
    """Have the shop remember where things of this visit are sent, as the checkout does; return the `client`."""
    session = client.session
    session["delivery"] = {**ADDRESS, "email": "", **changes}
    session.save()
    return client
