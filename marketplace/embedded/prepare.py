"""Brings everything up to date before the shop opens: static files, tables, the demo; and refuses to open it with code
that would strand sagas that are under way.

One process that starts together with the servers, because Django and PostgreSQL take their time to start, and may take
it at once.
"""

import os
import time

import django
from django.core.management import call_command
from django.db import OperationalError, connection

from marketplace.kernel.starting import refuse_to_start

DATABASE_WAIT_SECONDS = 300.0  # the supervisor says earlier, and better, why there is no database
POLL_SECONDS = 0.05


def main() -> None:
    """Each part may be run any number of times; the second time it finds little to do."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    django.setup()
    call_command("collectstatic", interactive=False, verbosity=0)
    _wait_for_database()
    refuse_to_start()  # while nothing is changed: whoever goes back to the code before finds its tables as they were
    call_command("migrate", interactive=False, verbosity=0)
    refuse_to_start()  # tables that were older than the question could not be asked before
    call_command("issue_missing_invoices")  # of orders that were confirmed by code that knew of none
    call_command("start_missing_shipments")  # of orders that were confirmed by code that shipped nothing
    call_command("seed_demo")


def _wait_for_database() -> None:
    deadline = time.monotonic() + DATABASE_WAIT_SECONDS
    while True:
        try:
            connection.ensure_connection()
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return


if __name__ == "__main__":
    main()
