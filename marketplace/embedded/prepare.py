"""Brings everything up to date before the shop opens: static files, tables, the demo; and refuses to open it with code
that would strand sagas that are under way.

One process that starts together with the servers, because Django and PostgreSQL take their time to start, and may take
it at once.
"""

import os
import sys
import time

import django
from django.core.management import call_command
from django.db import OperationalError, connection

DATABASE_WAIT_SECONDS = 300.0  # the supervisor says earlier, and better, why there is no database
POLL_SECONDS = 0.05


def main() -> None:
    """Each part may be run any number of times; the second time it finds little to do."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    django.setup()
    call_command("collectstatic", interactive=False, verbosity=0)
    _wait_for_database()
    call_command("migrate", interactive=False, verbosity=0)
    refuse_to_strand()
    call_command("seed_demo")


def refuse_to_strand() -> None:
    """End the process with exit code 1 and one line a kind, if unfinished sagas can't go on with this code."""
    # Imported late: the app's modules need Django to be set up, which `main` does.
    from marketplace.sagas import versions  # noqa: PLC0415

    versions.load_definitions()
    stranded = versions.stranded()
    if stranded:
        lines = [f"Not starting: this code would strand {one}." for one in stranded]
        advice = "Deploy the definitions they started with, or `manage.py sagas ignore` what is in NEEDS_ATTENTION."
        sys.exit("\n".join([*lines, advice]))


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
