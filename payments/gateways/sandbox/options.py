"""How the sandbox gateway is told what to do: two options, and the environment."""

import argparse
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    host: str
    port: int  # 0: any that is free
    data: Path
    api_key: str
    failure_rate: float  # share of authorizations and captures that are turned away, 0 to 1
    latency_seconds: float  # by which the answer to whatever moves money is late
    lost_answer_seconds: float  # for so long a connection is held whose answer is lost


class BadOption(Exception):
    """Something was asked for that makes no sense; the message says what, in one line."""


def read(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Options:
    """Read the command line and the environment. Raises `BadOption`, or exits as argparse does."""
    parser = argparse.ArgumentParser(
        prog="python -m payments.gateways.sandbox",
        description="The sandbox payment gateway. Environment: SANDBOX_API_KEY, PAYMENT_FAILURE_RATE (0 to 1), "
        "PAYMENT_LATENCY_MS, PAYMENT_TIMEOUT_SECONDS.",
    )
    parser.add_argument("--listen", default="127.0.0.1:9000", metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="where the ledger is kept")
    given = parser.parse_args(arguments)
    host, port = _address(given.listen)
    api_key = environment.get("SANDBOX_API_KEY", "") or "sk_sandbox"
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise BadOption("SANDBOX_API_KEY must be printable ASCII without blanks")
    return Options(
        host=host,
        port=port,
        data=given.data,
        api_key=api_key,
        failure_rate=_number(environment, "PAYMENT_FAILURE_RATE", 0.0, float, low=0, high=1),
        latency_seconds=_number(environment, "PAYMENT_LATENCY_MS", 0, int, low=0, high=60_000) / 1000,
        # Longer than the shop waits, so that it is always the shop that gives up first.
        lost_answer_seconds=_number(environment, "PAYMENT_TIMEOUT_SECONDS", 10.0, float, low=0.1, high=120) + 5,
    )


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
