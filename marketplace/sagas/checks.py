"""What Django checks of the engine before anything starts: the settings, and each definition against them.

| id | what is wrong |
|---|---|
| `sagas.E001` | a definition contradicts itself, or can't be had |
| `sagas.E002` | a setting is out of its range |
| `sagas.E003` | a call may take longer than its whole saga |
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error

from marketplace.sagas.definition import Call, DefinitionError, registered
from marketplace.sagas.versions import load_definitions

RANGES: dict[str, tuple[float, float]] = {
    "SAGA_RETRY_ATTEMPTS": (1, 100),
    "SAGA_RETRY_DELAY_SECONDS": (0, 86_400),
    "SAGA_TIMEOUT_SECONDS": (1, 30 * 86_400),
    "SAGA_STEP_TIMEOUT_SECONDS": (0.1, 3600),
    "SAGA_SWEEP_SECONDS": (0.1, 3600),
    "SAGA_BATCH_SIZE": (1, 5000),
    "SAGA_CALL_CONCURRENCY": (1, 1000),
    "SAGA_LEASE_SECONDS": (1, 3600),  # renewed after a third of it, by a worker that looks ten times a second
    "SAGA_WORKER_SLOTS": (1, 1000),
    "SAGA_BREAKER_FAILURES": (1, 10_000),
    "SAGA_BREAKER_WINDOW_SECONDS": (1, 3600),
    "SAGA_BREAKER_PAUSE_SECONDS": (0.1, 3600),
    "SAGA_BREAKER_LONGEST_SECONDS": (0.1, 86_400),
    "SAGA_RESUME_RATE": (0.01, 100_000),
    "SAGA_ARCHIVE_AFTER_DAYS": (0, 36_500),
}


def check_sagas(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Each thing that is wrong, in one sentence. Looks at no database."""
    try:
        load_definitions()
    except DefinitionError as error:
        return [Error(str(error), id="sagas.E001"), *_of_settings()]
    return [*_of_settings(), *_of_times()]


def _of_settings() -> Iterator[CheckMessage]:
    for name, (least, most) in RANGES.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            yield Error(f"{name} is {value!r}: it must be a number from {least:g} to {most:.12g}.", id="sagas.E002")


def _of_times() -> Iterator[CheckMessage]:
    time = settings.SAGA_TIMEOUT_SECONDS
    for saga in registered():
        slowest = max((node for node in saga.steps if isinstance(node, Call)), key=_patience, default=None)
        if slowest is not None and math.isfinite(time) and slowest.timeout >= time:
            yield Error(
                f"SAGA_TIMEOUT_SECONDS is {time:g}, and one answer to {slowest.name!r} of {saga.name!r} may take "
                f"{slowest.timeout:g} s: no second attempt would ever be made.",
                id="sagas.E003",
            )


def _patience(call: Call) -> float:
    return call.timeout
