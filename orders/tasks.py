"""The periodic work around orders, and the sending of mails."""

import time
from typing import Final

from celery import shared_task

from marketplace.kernel.clock import database_now
from orders import services
from orders.messages import bell, reminders, seats, sending

SHIFT_SECONDS: Final = 5.0  # after that, others get a turn


@shared_task(name="orders.tasks.expire_reservations", ignore_result=True)
def expire_reservations() -> int:
    """Deal with holds past their TTL; by Celery beat, every few seconds."""
    return services.expire_reservations(now=database_now())


@shared_task(name=bell.TASK, ignore_result=True)
def send_messages() -> int:
    """Send what is due until nothing is left; rung for by the intake's bell."""
    bell.answered()
    return _send()


@shared_task(name="orders.tasks.look_after_messages", ignore_result=True)
def look_after_messages() -> int:
    """Remind of reservations that end soon, and send what nobody rang for; by Celery beat, every few seconds."""
    reminders.remind(now=database_now())
    return _send()


def _send() -> int:
    until, count = time.monotonic() + SHIFT_SECONDS, 0
    with seats.take() as seat:
        while seat.keep():
            batch = sending.send_due()
            count += batch.count
            if not batch.count or not batch.reachable:
                return count
            if time.monotonic() > until:
                bell.ring()
                return count
    return count
