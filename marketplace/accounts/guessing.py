"""Guessing passwords: how many wrong ones are taken, of one account and from one address, at every door together.

A password counts as wrong until it has turned out right, so that many that are tried at once are no way around. What
is counted ends after ten minutes, whoever goes on guessing meanwhile. And a browser that has signed in to an account
before is counted by itself there (its cookie tells it), so that nobody keeps a person out of an account by guessing at
it from elsewhere.

Counted in Redis, like all limits (`kernel.limits`): while it does not answer, nobody is turned away.
"""

import secrets
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

import structlog
from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from rest_framework.throttling import BaseThrottle

from marketplace.kernel.limits import Limit, TooOften

log = structlog.get_logger(__name__)

BY_NAME: Final = Limit("wrong passwords by name", 10, 600)
BY_ADDRESS: Final = Limit("wrong passwords by address", 100, 600)
BY_BROWSER: Final = Limit("wrong passwords by known browser", 10, 600)

COOKIE: Final = "signed_in_before"
COOKIE_SECONDS: Final = 365 * 86_400
LONGEST_NAME: Final = 150


@dataclass(frozen=True, slots=True)
class Try:
    """One password that is tried, and where it is counted as a wrong one."""

    counted: tuple[tuple[Limit, str], ...]

    def was_right(self) -> None:
        """Take it off the counts again."""
        for limit, who in self.counted:
            limit.give_back(who)


def begin(name: str, *, address: str, browser: str = "") -> Try:
    """Count a password that is tried for the account `name`, before it is looked at.

    `address` is that of `address_of`, `browser` that of `known_browser`. Raises `TooOften` with the seconds to wait.
    """
    who = _one(name)
    counted = ((BY_BROWSER, f"{who} {browser}"),) if browser else ((BY_ADDRESS, address), (BY_NAME, who))
    for limit, key in counted:
        wait = limit.spend(key)
        if wait:
            log.warning("too_many_wrong_passwords", counted=limit.what, wait_seconds=wait)
            raise TooOften(retry_after=wait)
    return Try(counted)


def address_of(request: HttpRequest) -> str:
    """Return what counts as one address: behind TRUSTED_PROXIES proxies the one they tell of, of IPv6 its network.

    A household or a server has a network of 2^64 addresses to itself.
    """
    told = str(BaseThrottle().get_ident(request))  # type: ignore[arg-type]  # it reads nothing but `META`
    try:
        address = ip_address(told)
    except ValueError:
        return told
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))


def known_browser(request: HttpRequest, name: str) -> str:
    """Return the id of a browser that has signed in to the account `name` before; empty for any other."""
    try:
        return _signer(name).unsign(request.COOKIES.get(COOKIE, ""), max_age=COOKIE_SECONDS)
    except signing.BadSignature:
        return ""


def remember_browser(response: HttpResponseBase, name: str) -> None:
    """Have the browser tell from now on that it has signed in to the account `name`; the name is not in it."""
    response.set_cookie(
        COOKIE,
        _signer(name).sign(secrets.token_urlsafe(16)),
        max_age=COOKIE_SECONDS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _one(name: str) -> str:
    """However it is written, it is one account that is tried, whether or not there is one."""
    return unicodedata.normalize("NFKC", name).strip()[:LONGEST_NAME].casefold()


def _signer(name: str) -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=f"marketplace.accounts.guessing {_one(name)}")
