"""How a worker learns that a webhook is there. PostgreSQL holds them; the periodic task finds what nobody rang for."""

from typing import Final

from marketplace.kernel.bells import Bell

TASK: Final = "payments.tasks.take_in_webhooks"
QUEUE: Final = "payments"

_bell: Final = Bell(task=TASK, queue=QUEUE, flag="payments:inbox:bell")
ring = _bell.ring
answered = _bell.answered
