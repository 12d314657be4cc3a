"""The scheduler of Celery beat. Named in the settings, and imported by beat alone, once Django is set up."""

import time
from typing import Any, Final

from django_celery_beat.schedulers import DatabaseScheduler

ASK_EVERY_SECONDS: Final = 5.0


class Scheduler(DatabaseScheduler):  # type: ignore[misc]  # it has no types
    """django-celery-beat's, which looks for changes of the schedule every few seconds, and not before every task.

    Beat wakes up several times for each task that is due. Asked each time, that one query was more than all others of
    an idle shop; and comparing each entry of the plan with what it was at the last time, a seventh of beat's own work.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._ask_at = 0.0  # on the steady clock
        self._compared: Any = None  # the plan, as it was compared last
        super().__init__(*args, **kwargs)

    def schedule_changed(self) -> bool:
        """Return whether somebody has changed the schedule; what changed since it was last asked is seen in time."""
        if time.monotonic() < self._ask_at:
            return False
        self._ask_at = time.monotonic() + ASK_EVERY_SECONDS
        return bool(super().schedule_changed())

    def schedules_equal(self, old: Any, new: Any) -> bool:
        """Return whether the plan is still the same. It is another one, to be compared, only once it was read anew."""
        same, self._compared = new is self._compared, new
        return same or bool(super().schedules_equal(old, new))
