"""How a worker learns that there are mails to send."""

from typing import Final

from marketplace.kernel.bells import Bell

TASK: Final = "orders.tasks.send_messages"
QUEUE: Final = "messages"

_bell: Final = Bell(task=TASK, queue=QUEUE, flag="orders:messages:bell")
ring = _bell.ring
answered = _bell.answered
