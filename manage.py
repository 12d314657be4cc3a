#!/usr/bin/env python
"""Django's command line for this project: `python manage.py help` lists what there is."""

import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError


def main() -> None:
    """Run the command; a database that can't be reached is told in one line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None):  # the server did answer
            raise
        why = str(error).strip().splitlines()[0]
        sys.exit(f"The database can't be reached. Is the shop running (make run)? It said: {why}")


if __name__ == "__main__":
    main()
