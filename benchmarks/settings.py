"""The shop's own settings, with a gateway that answers at once, and one more view to compare with."""

from marketplace.settings import *  # noqa: F403
from marketplace.settings import PAYMENT_GATEWAYS as _GATEWAYS

PAYMENT_GATEWAYS = {**_GATEWAYS, "instant": "benchmarks.gateway"}
PAYMENT_GATEWAY = "instant"
ROOT_URLCONF = "benchmarks.urls"
