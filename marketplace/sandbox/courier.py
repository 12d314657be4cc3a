"""What runs beside the requests: deeds at their time, and the delivery of what is told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import httpx
from standardwebhooks.webhooks import Webhook

from marketplace.sandbox.environment import Webhooks
from marketplace.sandbox.telling import Telling
from marketplace.sandbox.wire import Answer

_PATIENCE_SECONDS: Final = 10.0
_LONGEST_SLEEP_SECONDS: Final = 60.0
_AFTER_A_FAILURE_SECONDS: Final = 1.0

Ask = Callable[[Callable[[], Answer]], Awaitable[Answer]]


class Sleeper:
    """Sleeps until a time that a command has named, or until it is woken because the books have changed."""

    def __init__(self) -> None:
        self._bell = asyncio.Event()

    def wake(self) -> None:
        self._bell.set()

    async def sleep(self, until: int | None) -> None:
        """Sleep until `until` (microseconds since 1970)."""
        seconds = _LONGEST_SLEEP_SECONDS if until is None else until / 1_000_000 - time.time()
        if seconds > 0:
            try:
                async with asyncio.timeout(min(seconds, _LONGEST_SLEEP_SECONDS)):
                    await self._bell.wait()
            except TimeoutError:
                return
        self._bell.clear()


async def live(ask: Ask, deeds: Callable[[], Answer], sleeper: Sleeper) -> None:
    """Have done what is due, for ever; `deeds` does it, and answers when something will be `next`."""
    while True:
        answer = await ask(deeds)
        if answer.status != 200:
            await asyncio.sleep(_AFTER_A_FAILURE_SECONDS)
        else:
            await sleeper.sleep(answer.body["next"])


async def deliver(ask: Ask, telling: Telling, webhooks: Webhooks, sleeper: Sleeper) -> None:
    """Deliver what is told, for ever: signed, again and again until it is taken, in any order."""
    signer = Webhook(webhooks.secret)
    async with httpx.AsyncClient(timeout=_PATIENCE_SECONDS, trust_env=False) as client:
        while True:
            answer = await ask(telling.due)
            if answer.status != 200:
                await asyncio.sleep(_AFTER_A_FAILURE_SECONDS)
                continue
            events = answer.body["events"]
            if events:
                results = await asyncio.gather(*(_post(client, signer, webhooks, *event) for event in events))
                await ask(partial(telling.delivered, results))
            else:
                await sleeper.sleep(answer.body["next"])


async def _post(
    client: httpx.AsyncClient, signer: Webhook, webhooks: Webhooks, event_id: str, body: str
) -> tuple[str, int, str]:
    now = datetime.now(UTC)
    headers: dict[str, Any] = {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signer.sign(event_id, now, body),
        **({"Host": webhooks.host} if webhooks.host else {}),
    }
    try:
        response = await client.post(webhooks.url, content=body, headers=headers)
    except (httpx.HTTPError, OSError) as problem:
        return event_id, 0, type(problem).__name__
    return event_id, response.status_code, str(response.status_code)
