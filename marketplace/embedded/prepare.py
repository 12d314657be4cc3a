"""Brings the database up to date: the tables, and the demo shop. In one process, for Django is slow to start."""

import os

import django
from django.core.management import call_command


def main() -> None:
    """Migrate, then seed. Both may be run any number of times."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("seed_demo")


if __name__ == "__main__":
    main()
