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

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from marketplace.sandbox.environment import DAY_SECONDS, Webhooks, api_key, choice, command_line, number, url
from marketplace.sandbox.environment import webhooks as read_webhooks


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


def read(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Options:
    """Read the command line and the environment. Raises `BadOption`, or exits as argparse does."""
    host, port, data = command_line(
        arguments,
        module="payments.gateways.sandbox",
        what="The sandbox payment gateway.",
        told=__doc__ or "",
        port=9000,
    )
    webhooks = read_webhooks(environment, "SANDBOX_WEBHOOK")
    return Options(
        host=host,
        port=port,
        data=data,
        api_key=api_key(environment, "SANDBOX_API_KEY", "sk_sandbox"),
        failure_rate=number(environment, "PAYMENT_FAILURE_RATE", 0.0, float, low=0, high=1),
        latency_seconds=number(environment, "PAYMENT_LATENCY_MS", 0, int, low=0, high=60_000) / 1000,
        # Longer than the shop waits, so that it is always the shop that gives up first.
        lost_answer_seconds=number(environment, "PAYMENT_TIMEOUT_SECONDS", 10.0, float, low=0.1, high=120) + 5,
        books=choice(environment, "SANDBOX_BOOKS", "local", "all", "nobody"),
        terms=_terms(environment, tells=webhooks is not None),
        webhooks=webhooks,
    )


def _terms(environment: Mapping[str, str], *, tells: bool) -> Terms:
    usual = Terms()

    def seconds(name: str, default: float, *, high: float = 30.0 * DAY_SECONDS) -> float:
        return number(environment, name, default, float, low=0, high=high)

    return Terms(
        public_url=url(environment, "SANDBOX_PUBLIC_URL").rstrip("/"),
        decision_seconds=seconds("SANDBOX_DECISION_SECONDS", usual.decision_seconds),
        reversal_seconds=seconds("SANDBOX_REVERSAL_SECONDS", usual.reversal_seconds),
        authorization_seconds=seconds("SANDBOX_AUTHORIZATION_SECONDS", usual.authorization_seconds),
        forgets_voids=choice(environment, "SANDBOX_FORGETS_VOIDS", "no", "yes") == "yes",
        tells=tells,
        tells_all=choice(environment, "SANDBOX_WEBHOOKS", "late", "all") == "all",
        duplicates=number(environment, "SANDBOX_WEBHOOK_DUPLICATES", 0.0, float, low=0, high=1),
        disorder_seconds=seconds("SANDBOX_WEBHOOK_DISORDER_SECONDS", 0.0, high=3600.0),
    )
