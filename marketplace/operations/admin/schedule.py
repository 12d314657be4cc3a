"""What beat rings for. The settings say what and how often; the table is beat's own copy of it."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.decorators import display

from marketplace.operations import wording
from marketplace.operations.admin.base import ReadOnlyAdmin, age

for model in (PeriodicTask, ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule):
    admin.site.unregister(model)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ReadOnlyAdmin):
    """Read-only: the sweep that finds forgotten sagas must not be switched off by a click."""

    list_display = ("name", "enabled", "schedule", "ran", "total_run_count", "queue")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    fields = ("name", "task", "enabled", "schedule", "queue", "expire_seconds", "last_run_at", "total_run_count")
    ordering = ("name",)

    @display(description="every")
    def schedule(self, task: PeriodicTask) -> str:
        """How often."""
        return str(task.interval or task.crontab or task.solar or task.clocked or wording.NOTHING)

    @display(description="last run", ordering="last_run_at")
    def ran(self, task: PeriodicTask) -> SafeString | str:
        """How long ago beat last rang for it; never: is beat running?"""
        return age(task.last_run_at) if task.last_run_at else "never"
