"""The shop's own settings, with a gateway that answers at once, and one more view to compare with."""

import os

from marketplace.settings import *  # noqa: F403
from marketplace.settings import PAYMENT_GATEWAYS as _GATEWAYS

PAYMENT_GATEWAYS = {**_GATEWAYS, "instant": "benchmarks.gateway", "looked_at": "benchmarks.looked_at"}
PAYMENT_GATEWAY = os.environ.get("BENCHMARK_GATEWAY", "instant")
ROOT_URLCONF = "benchmarks.urls"
