"""The carriers, by name. `base` says what each of them must be able to do."""

from importlib import import_module
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from fulfillment.carriers.base import Carrier


def is_ready(name: str) -> bool:
    """Whether this carrier is known and all that it needs is set: only then is anybody to talk to it."""
    return name in settings.CARRIERS_READY


def carrier(name: str = "") -> "Carrier":
    """Return the carrier called `name` in `settings.CARRIERS`, by default that of `settings.CARRIER`.

    The same object every time while the settings are the same; safe to use from many threads and after a fork.
    Raises `ValueError` for a name that is not known.
    """
    name = name or settings.CARRIER
    module = settings.CARRIERS.get(name)
    if module is None:
        raise ValueError(f"There is no carrier called {name!r}")
    found: Carrier = import_module(module).from_settings()  # loaded when it is first asked for
    return found
