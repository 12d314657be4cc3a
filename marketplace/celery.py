"""The Celery application: `celery -A marketplace worker -Q orders,inventory,payments,fulfillment,messages`."""

import gc
import os
from typing import Any

import django
from celery import Celery
from celery.signals import celeryd_init, task_prerun, worker_init, worker_process_init
from django.conf import settings
from django.db import close_old_connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from marketplace.kernel.starting import Obstacle, refuse_to_start
from marketplace.sagas.timeouts import written

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")


# Connected before Celery's own Django fixup, which runs the same checks, and then shows a traceback.
@worker_init.connect(weak=False)
def refuse_to_work(**kwargs: Any) -> None:
    """Before a worker has any processes: is anything in the way of the shop?"""
    django.setup()
    refuse_to_start()


@worker_init.connect(weak=False)
def _share_what_is_loaded(**worker: Any) -> None:
    """Keep the collector of garbage from what is loaded by now, before the worker forks its processes.

    The modules are most of the heap and never garbage. A collection writes to each object that it looks at, so each
    process would soon have a copy of all of them: some 50 MB.
    """
    gc.collect()
    gc.freeze()


@celeryd_init.connect(weak=False)
def refuse_unknown_queues(options: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """A worker of a queue that nobody ever rings would wait for ever."""
    asked = (options or {}).get("queues") or ()
    known = ", ".join(settings.WORKER_QUEUES)
    refuse_to_start(
        Obstacle(f"there is no queue {queue!r} for a worker to serve: there are {known}.")
        for queue in (asked.split(",") if isinstance(asked, str) else asked)
        if queue not in settings.WORKER_QUEUES
    )


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


@worker_process_init.connect
def _collect_less_often(**process: Any) -> None:
    """Keep the collector of garbage from looking at every 700 objects.

    A group of sagas is some fifty thousand objects that live until it is written, and hardly any of them in a cycle:
    what a collection in the middle of one looks at is alive. (It took a twentieth of an order's time in Python.)
    """
    gc.set_threshold(50_000, 10, 10)


@worker_process_init.connect(weak=False)
def _wait_for_no_lock_for_ever(**process: Any) -> None:
    """Let no one who forgets an open transaction keep a worker: not with the row of a saga whose call is answered."""
    connection_created.connect(_be_patient_only_so_long)


def _be_patient_only_so_long(connection: BaseDatabaseWrapper, **created: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [written(settings.SAGA_STEP_TIMEOUT_SECONDS)])
