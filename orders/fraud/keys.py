"""How e-mail addresses, places and people are written so that two of them can be compared.

One who wants to look like another varies what does not matter: capital letters, dots, blanks, a tag after a plus. These
keys leave that out. They are for comparing only; nothing is ever sent to one.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

_DOTS_ARE_NOTHING: Final = frozenset({"gmail.com", "googlemail.com"})  # there, and a.b@ is ab@
_NOT_A_LETTER: Final = re.compile(r"[\W_]+")
_PLACE: Final = ("line1", "line2", "postal_code", "city", "country")


def email_key(email: str) -> str:
    """Return `email` without what doesn't matter: `Ann.B+shop@GMail.com` is `annb@gmail.com`. Empty for none."""
    local, at, host = email.strip().casefold().rpartition("@")
    if not at:
        return ""
    local = local.partition("+")[0] or local
    if host in _DOTS_ARE_NOTHING:
        local, host = local.replace(".", ""), "gmail.com"
    return f"{local}@{host}"


def domain(email: str) -> str:
    """Return the domain of an e-mail address, in small letters."""
    return email.strip().casefold().rpartition("@")[2]


def place(text: str) -> str:
    """Return a place as letters and digits alone, without accents: `Müller-Straße 1` is `mullerstrasse1`."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _NOT_A_LETTER.sub("", "".join(letter for letter in plain if not unicodedata.combining(letter)))


def address(given: Mapping[str, Any] | None) -> str:
    """Return where a parcel goes, as `place` writes it. Who it is for does not matter. Empty for none."""
    if not given:
        return ""
    return "".join(place(str(given.get(part) or "")) for part in _PLACE)


def address_key(given: Mapping[str, Any] | None) -> str:
    """Return `address` in 32 characters, for a column."""
    written = address(given)
    return hashlib.sha256(written.encode()).hexdigest()[:32] if written else ""


def postcode(given: Mapping[str, Any] | None) -> str:
    """Return the postcode with its country in front: `de10115`. Empty where either is missing."""
    if not given or not given.get("postal_code") or not given.get("country"):
        return ""
    return place(f"{given['country']}{given['postal_code']}")


def country(given: Mapping[str, Any] | None) -> str:
    """Return the country of an address, in capital letters; empty for none."""
    return str((given or {}).get("country") or "").upper()
