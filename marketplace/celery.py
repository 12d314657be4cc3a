"""The Celery application: `celery -A marketplace worker -Q orders,inventory,payments,fulfillment`."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

app = Celery("marketplace")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@task_prerun.connect
def _keep_only_what_is_alive(**task: Any) -> None:
    """Do before a task what Django does before a request: close a connection that is dead, or too old.

    Celery would otherwise make a new one for each task (CELERY_DB_REUSE_MAX), which takes longer than an order, and
    forgets what was prepared on it. A dead one is found out by a probe, before the task's first statement.
    """
    close_old_connections()
