"""Bad settings, and definitions that don't go with them, are found before anything starts: one sentence each."""

from typing import Any

import pytest
from django.core.checks import run_checks

from marketplace.sagas import checks, definition
from marketplace.sagas.definition import Call, DefinitionError, Saga, remote
from marketplace.sagas.outcomes import Done


def found() -> list[tuple[str, str]]:
    return [(message.id or "", message.msg) for message in run_checks(tags=["sagas"])]


@pytest.fixture(autouse=True)
def _registry_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition, "_registry", dict(definition._registry))


def test_what_we_ship_is_right() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SAGA_RETRY_ATTEMPTS", 0, "SAGA_RETRY_ATTEMPTS is 0: it must be a number from 1 to 100."),
        ("SAGA_RETRY_DELAY_SECONDS", -1, "SAGA_RETRY_DELAY_SECONDS is -1: it must be a number from 0 to 86400."),
        ("SAGA_TIMEOUT_SECONDS", float("inf"), "SAGA_TIMEOUT_SECONDS is inf: it must be a number from 1 to 2592000."),
        ("SAGA_STEP_TIMEOUT_SECONDS", 0, "SAGA_STEP_TIMEOUT_SECONDS is 0: it must be a number from 0.1 to 3600."),
        ("SAGA_SWEEP_SECONDS", 0.01, "SAGA_SWEEP_SECONDS is 0.01: it must be a number from 0.1 to 3600."),
        ("SAGA_BATCH_SIZE", 0, "SAGA_BATCH_SIZE is 0: it must be a number from 1 to 5000."),
        ("SAGA_CALL_CONCURRENCY", -5, "SAGA_CALL_CONCURRENCY is -5: it must be a number from 1 to 1000."),
        ("SAGA_LEASE_SECONDS", 0.2, "SAGA_LEASE_SECONDS is 0.2: it must be a number from 1 to 3600."),
        ("SAGA_WORKER_SLOTS", None, "SAGA_WORKER_SLOTS is None: it must be a number from 1 to 1000."),
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings: Any, name: str, value: Any, sentence: str) -> None:
    setattr(settings, name, value)
    assert ("sagas.E002", sentence) in found()


def test_every_number_of_the_engine_has_a_range() -> None:
    from marketplace import settings as ours  # noqa: PLC0415 - the module, not what Django makes of it

    numbers = {
        name for name, value in vars(ours).items() if name.startswith("SAGA_") and isinstance(value, int | float)
    }
    assert numbers == set(checks.RANGES)


def test_a_call_that_outlasts_its_saga_is_refused(settings: Any) -> None:
    settings.SAGA_TIMEOUT_SECONDS = 60
    steps = (Call("ask", do=remote(lambda ticket: Done()), timeout=60.0),)
    type("Slow", (Saga,), {"__module__": __name__, "name": "slow", "steps": steps})
    (sentence,) = [msg for number, msg in found() if number == "sagas.E003"]
    assert sentence.startswith("SAGA_TIMEOUT_SECONDS is 60, and one answer to 'ask' of 'slow' may take 60 s: ")


def test_a_definition_that_contradicts_itself_is_told_like_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise DefinitionError("Odd: two steps are called 'a'")

    monkeypatch.setattr(checks, "load_definitions", load)
    assert found() == [("sagas.E001", "Odd: two steps are called 'a'")]
