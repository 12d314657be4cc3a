"""What Django checks of the fraud settings before anything starts.

| id | what is wrong |
|---|---|
| `orders.E001` | a name in FRAUD_CHECKERS is not that of a function |
| `orders.E002` | a person would have more time than the bank holds the money |
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from payments.services import authorization_life


def check_checkers(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> Iterator[CheckMessage]:
    """Each name in FRAUD_CHECKERS that is not that of a function."""
    for name in settings.FRAUD_CHECKERS:
        try:
            known = callable(import_string(name))
        except ImportError:
            known = False
        if not known:
            yield Error(f"FRAUD_CHECKERS names {name!r}, and there is no such function.", id="orders.E001")


def check_patience(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> Iterator[CheckMessage]:
    """Each gateway that may let go of the money before a person has to have decided, and the saga can take it.

    The authorization may be as old as PAYMENT_OUTCOME_SECONDS when the review begins, and after it the capture may take
    SAGA_TIMEOUT_SECONDS.
    """
    review, rest = settings.FRAUD_REVIEW_SECONDS, settings.PAYMENT_OUTCOME_SECONDS + settings.SAGA_TIMEOUT_SECONDS
    for name in settings.PAYMENT_GATEWAYS_READY:
        life = authorization_life(name)
        if timedelta(seconds=review + rest) >= life:
            most = int(life.total_seconds()) - rest - 1
            yield Error(
                f"FRAUD_REVIEW_SECONDS is {review}: {name} may let go of the money before anybody has decided. "
                f"It can be at most {most}, with PAYMENT_OUTCOME_SECONDS and SAGA_TIMEOUT_SECONDS as they are.",
                id="orders.E002",
            )
