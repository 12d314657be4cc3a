"""The payment gateways, by name. `base` says what each of them must be able to do."""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from payments.gateways.base import Gateway


def is_ready(name: str) -> bool:
    """Whether this gateway is known and all that it needs is set: only then is anybody to talk to it."""
    return name in settings.PAYMENT_GATEWAYS_READY


def gateway(name: str = "") -> "Gateway":
    """Return the gateway called `name` in `settings.PAYMENT_GATEWAYS`, by default that of `settings.PAYMENT_GATEWAY`.

    The same object every time while the settings are the same; safe to use from many threads and after a fork.
    Raises `ValueError` for a name that is not known.
    """
    name = name or settings.PAYMENT_GATEWAY
    module = settings.PAYMENT_GATEWAYS.get(name)
    if module is None:
        raise ValueError(f"There is no payment gateway called {name!r}")
    # Loaded when it is first asked for: nobody pays for the SDK of one that isn't used, and the sandbox's server, which
    # lives below this package, starts without any.
    found: Gateway = _imported(module).from_settings()
    return found


_imported = cache(import_module)
