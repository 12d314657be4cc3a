"""How the sandbox carrier is told what to do: two options, and the environment.

SANDBOX_CARRIER_API_KEY                   what the shop has to show; ck_sandbox
SANDBOX_CARRIER_PUBLIC_URL                the address of this service in a browser; where it listens
SANDBOX_CARRIER_BOOKS                     who may see and move parcels: `local` (this machine), `all`, `nobody`
SANDBOX_CARRIER_PACE_SECONDS              after so long each parcel moves on by itself, until it is delivered; 0: never
SANDBOX_CARRIER_FAILURE_RATE              share of labels that are turned away, 0 to 1
SANDBOX_CARRIER_LATENCY_MS                by which the answer to whatever changes something is late
SANDBOX_CARRIER_WEBHOOK_URL               where the shop listens; none: nothing is told
SANDBOX_CARRIER_WEBHOOK_HOST              the Host to name there, if not the one of the address
SANDBOX_CARRIER_WEBHOOK_SECRET            what webhooks are signed with: whsec_ and base64
SANDBOX_CARRIER_WEBHOOK_DUPLICATES        share of webhooks that are sent twice, 0 to 1
SANDBOX_CARRIER_WEBHOOK_DISORDER_SECONDS  each is late by up to so much, so that they overtake each other
CARRIER_TIMEOUT_SECONDS                   how long the shop waits for an answer
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from marketplace.sandbox.environment import DAY_SECONDS, Webhooks, api_key, choice, command_line, number, url, webhooks
from marketplace.sandbox.telling import Manner


@dataclass(frozen=True, slots=True)
class Terms:
    """What the ledger has to know of this carrier's ways; times in seconds."""

    public_url: str = ""
    pace_seconds: float = 0.0
    tells: bool = False
    manner: Manner = field(default_factory=Manner)


@dataclass(frozen=True, slots=True)
class Options:
    host: str
    port: int  # 0: any that is free
    data: Path
    api_key: str
    failure_rate: float  # share of labels that are turned away, 0 to 1
    latency_seconds: float
    lost_answer_seconds: float  # for so long a connection is held whose answer is lost
    books: str  # who may look at the page of the books
    terms: Terms
    webhooks: Webhooks | None


def read(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Options:
    """Read the command line and the environment. Raises `BadOption`, or exits as argparse does."""
    host, port, data = command_line(
        arguments, module="fulfillment.carriers.sandbox", what="The sandbox carrier.", told=__doc__ or "", port=9001
    )
    told = webhooks(environment, "SANDBOX_CARRIER_WEBHOOK")
    return Options(
        host=host,
        port=port,
        data=data,
        api_key=api_key(environment, "SANDBOX_CARRIER_API_KEY", "ck_sandbox"),
        failure_rate=number(environment, "SANDBOX_CARRIER_FAILURE_RATE", 0.0, float, low=0, high=1),
        latency_seconds=number(environment, "SANDBOX_CARRIER_LATENCY_MS", 0, int, low=0, high=60_000) / 1000,
        # Longer than the shop waits, so that it is always the shop that gives up first.
        lost_answer_seconds=number(environment, "CARRIER_TIMEOUT_SECONDS", 10.0, float, low=0.1, high=120) + 5,
        books=choice(environment, "SANDBOX_CARRIER_BOOKS", "local", "all", "nobody"),
        terms=Terms(
            public_url=url(environment, "SANDBOX_CARRIER_PUBLIC_URL").rstrip("/"),
            pace_seconds=number(environment, "SANDBOX_CARRIER_PACE_SECONDS", 0.0, float, low=0, high=30 * DAY_SECONDS),
            tells=told is not None,
            manner=Manner(
                number(environment, "SANDBOX_CARRIER_WEBHOOK_DUPLICATES", 0.0, float, low=0, high=1),
                number(environment, "SANDBOX_CARRIER_WEBHOOK_DISORDER_SECONDS", 0.0, float, low=0, high=3600),
            ),
        ),
        webhooks=told,
    )
