"""How a sandbox service is told what to do, read from the environment and checked. All raise `BadOption`."""

import argparse
import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DAY_SECONDS = 24 * 3600
SECRET_BYTES = 24  # the least that Standard Webhooks asks for


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Where the shop listens, and what proves that it is us."""

    url: str
    host: str
    secret: str


class BadOption(Exception):
    """Something was asked for that makes no sense; the message says what, in one line."""


def command_line(arguments: Sequence[str], *, module: str, what: str, told: str, port: int) -> tuple[str, int, Path]:
    """Read `--listen` and `--data`: host, port, and the folder of the ledger. Exits as argparse does.

    `what` says in a sentence what `module` is, `told` which variables of the environment it reads; `port` is the usual.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=what,
        epilog=told.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = f"127.0.0.1:{port}"
    parser.add_argument("--listen", default=usual, metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="where the ledger is kept")
    given = parser.parse_args(arguments)
    return *listen_at(given.listen), given.data


def webhooks(environment: Mapping[str, str], prefix: str) -> Webhooks | None:
    """Read PREFIX_URL, PREFIX_HOST and PREFIX_SECRET; None where there is no URL."""
    address = url(environment, f"{prefix}_URL")
    if not address:
        return None
    secret = environment.get(f"{prefix}_SECRET", "")
    try:
        known = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) >= SECRET_BYTES
    except (binascii.Error, ValueError):
        known = False
    if not known:
        raise BadOption(f"{prefix}_SECRET must be whsec_ and at least {SECRET_BYTES} bytes in base64")
    return Webhooks(address, environment.get(f"{prefix}_HOST", ""), secret)


def api_key(environment: Mapping[str, str], name: str, default: str) -> str:
    """Read what the shop has to show."""
    key = environment.get(name, "") or default
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadOption(f"{name} must be printable ASCII without blanks")
    return key


def url(environment: Mapping[str, str], name: str) -> str:
    """Read an address, or nothing."""
    value = environment.get(name, "")
    try:
        good = not value or (urlsplit(value).scheme in {"http", "https"} and bool(urlsplit(value).hostname))
    except ValueError:
        good = False
    if not good:
        raise BadOption(f"{name} must be an address like http://127.0.0.1:9000, not {value!r}")
    return value


def choice(environment: Mapping[str, str], name: str, default: str, *others: str) -> str:
    """Read one of several words."""
    value = environment.get(name, "") or default
    if value not in {default, *others}:
        raise BadOption(f"{name} must be {', '.join([default, *others[:-1]])} or {others[-1]}, not {value!r}")
    return value


def number(
    environment: Mapping[str, str], name: str, default: float, kind: Callable[[str], float], *, low: float, high: float
) -> float:
    """Read a number from `low` to `high`."""
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


def listen_at(text: str) -> tuple[str, int]:
    """Read HOST:PORT, as it is given to --listen; port 0: any that is free."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadOption(f"--listen must be HOST:PORT, for example 127.0.0.1:9000, not {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)
