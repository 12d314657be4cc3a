"""The payment gateways, by name. `base` says what each of them must be able to do."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from django.conf import settings

if TYPE_CHECKING:
    from payments.gateways.base import Gateway

# A gateway's module is loaded when it is first asked for: nobody pays for the SDK of one that isn't used, and the
# sandbox's server, which lives below this package, starts without any.
_MODULES: Final[Mapping[str, str]] = {"sandbox": "payments.gateways.sandbox.client"}


def gateway(name: str = "") -> "Gateway":
    """Return the gateway called `name`, by default that of `settings.PAYMENT_GATEWAY`.

    The same object every time while the settings are the same; safe to use from many threads and after a fork.
    Raises `ValueError` for a name that is not known.
    """
    name = name or settings.PAYMENT_GATEWAY
    if name not in _MODULES:
        raise ValueError(f"There is no payment gateway called {name!r}")
    found: Gateway = import_module(_MODULES[name]).from_settings()
    return found
