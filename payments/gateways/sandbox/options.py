"""How the sandbox gateway is told what to do: two options, and the environment.

SANDBOX_API_KEY                   what the shop has to show; sk_sandbox
SANDBOX_PUBLIC_URL                the address of this service in a buyer's browser; where it listens
SANDBOX_BOOKS                     who may look at the books' page: `local` (this machine), `all` or `nobody`
SANDBOX_WEBHOOK_URL               where the shop listens; none: nothing is told
SANDBOX_WEBHOOK_HOST              the Host to name there, if not the one of the address
SANDBOX_WEBHOOK_SECRET            what webhooks are signed with: whsec_ and base64
SANDBOX_WEBHOOKS                  `late`: only what no answer has told; `all`: every change, as most banks do
SANDBOX_WEBHOOK_DUPLICATES        share of webhooks that are sent twice, 0 to 1
SANDBOX_WEBHOOK_DISORDER_SECONDS  each is late by up to so much, so that they overtake each other
SANDBOX_DECISION_SECONDS          after which tok_delayed_success and tok_delayed_decline are decided; 3
SANDBOX_REVERSAL_SECONDS          after which a captured tok_late_rejection is taken back; 5
SANDBOX_AUTHORIZATION_SECONDS     how long money is held; 7 days
SANDBOX_FORGETS_VOIDS             `yes`: a void for a key that never came leaves no mark, as at gateways that
                                  can't know; an authorization that lands after it is then done
PAYMENT_FAILURE_RATE              share of authorizations and captures that are turned away, 0 to 1
PAYMENT_LATENCY_MS                by which the answer to whatever moves money is late
PAYMENT_TIMEOUT_SECONDS           how long the shop waits for an answer
"""

import argparse
import base64
import binascii
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DAY_SECONDS = 24 * 3600
SECRET_BYTES = 24  # the least that Standard Webhooks asks for


@dataclass(frozen=True, slots=True)
class Terms:
    """What the ledger has to know of this bank's ways; times in seconds."""

    public_url: str = ""
    decision_seconds: float = 3.0
    reversal_seconds: float = 5.0
    authorization_seconds: float = 7.0 * DAY_SECONDS
    forgets_voids: bool = False
    tells: bool = False  # webhooks at all
    tells_all: bool = False
    duplicates: float = 0.0
    disorder_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Where the shop listens, and what proves that it is us."""

    url: str
    host: str
    secret: str


@dataclass(frozen=True, slots=True)
class Options:
    host: str
    port: int  # 0: any that is free
    data: Path
    api_key: str
    failure_rate: float  # share of authorizations and captures that are turned away, 0 to 1
    latency_seconds: float  # by which the answer to whatever moves money is late
    lost_answer_seconds: float  # for so long a connection is held whose answer is lost
    books: str  # who may look at the page of the books
    terms: Terms
    webhooks: Webhooks | None


class BadOption(Exception):
    """Something was asked for that makes no sense; the message says what, in one line."""


def read(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Options:
    """Read the command line and the environment. Raises `BadOption`, or exits as argparse does."""
    parser = argparse.ArgumentParser(
        prog="python -m payments.gateways.sandbox",
        description="The sandbox payment gateway.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listen", default="127.0.0.1:9000", metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="where the ledger is kept")
    given = parser.parse_args(arguments)
    host, port = _address(given.listen)
    api_key = environment.get("SANDBOX_API_KEY", "") or "sk_sandbox"
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise BadOption("SANDBOX_API_KEY must be printable ASCII without blanks")
    webhooks = _webhooks(environment)
    return Options(
        host=host,
        port=port,
        data=given.data,
        api_key=api_key,
        failure_rate=_number(environment, "PAYMENT_FAILURE_RATE", 0.0, float, low=0, high=1),
        latency_seconds=_number(environment, "PAYMENT_LATENCY_MS", 0, int, low=0, high=60_000) / 1000,
        # Longer than the shop waits, so that it is always the shop that gives up first.
        lost_answer_seconds=_number(environment, "PAYMENT_TIMEOUT_SECONDS", 10.0, float, low=0.1, high=120) + 5,
        books=_choice(environment, "SANDBOX_BOOKS", "local", "all", "nobody"),
        terms=_terms(environment, tells=webhooks is not None),
        webhooks=webhooks,
    )


def _terms(environment: Mapping[str, str], *, tells: bool) -> Terms:
    usual = Terms()

    def seconds(name: str, default: float, *, high: float = 30.0 * DAY_SECONDS) -> float:
        return _number(environment, name, default, float, low=0, high=high)

    return Terms(
        public_url=_url(environment, "SANDBOX_PUBLIC_URL").rstrip("/"),
        decision_seconds=seconds("SANDBOX_DECISION_SECONDS", usual.decision_seconds),
        reversal_seconds=seconds("SANDBOX_REVERSAL_SECONDS", usual.reversal_seconds),
        authorization_seconds=seconds("SANDBOX_AUTHORIZATION_SECONDS", usual.authorization_seconds),
        forgets_voids=_choice(environment, "SANDBOX_FORGETS_VOIDS", "no", "yes") == "yes",
        tells=tells,
        tells_all=_choice(environment, "SANDBOX_WEBHOOKS", "late", "all") == "all",
        duplicates=_number(environment, "SANDBOX_WEBHOOK_DUPLICATES", 0.0, float, low=0, high=1),
        disorder_seconds=seconds("SANDBOX_WEBHOOK_DISORDER_SECONDS", 0.0, high=3600.0),
    )


def _webhooks(environment: Mapping[str, str]) -> Webhooks | None:
    url = _url(environment, "SANDBOX_WEBHOOK_URL")
    if not url:
        return None
    secret = environment.get("SANDBOX_WEBHOOK_SECRET", "")
    try:
        known = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) >= SECRET_BYTES
    except (binascii.Error, ValueError):
        known = False
    if not known:
        raise BadOption(f"SANDBOX_WEBHOOK_SECRET must be whsec_ and at least {SECRET_BYTES} bytes in base64")
    return Webhooks(url, environment.get("SANDBOX_WEBHOOK_HOST", ""), secret)


def _url(environment: Mapping[str, str], name: str) -> str:
    url = environment.get(name, "")
    try:
        good = not url or (urlsplit(url).scheme in {"http", "https"} and bool(urlsplit(url).hostname))
    except ValueError:
        good = False
    if not good:
        raise BadOption(f"{name} must be an address like http://127.0.0.1:9000, not {url!r}")
    return url


def _choice(environment: Mapping[str, str], name: str, default: str, *others: str) -> str:
    value = environment.get(name, "") or default
    if value not in {default, *others}:
        raise BadOption(f"{name} must be {', '.join([default, *others[:-1]])} or {others[-1]}, not {value!r}")
    return value


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadOption(f"--listen must be HOST:PORT, for example 127.0.0.1:9000, not {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _number(
    environment: Mapping[str, str], name: str, default: float, kind: Callable[[str], float], *, low: float, high: float
) -> float:
    text = environment.get(name, "")
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        what = "a whole number" if kind is int else "a number"
        raise BadOption(f"{name} must be {what} from {low:g} to {high:g}, not {text!r}")
    return value
