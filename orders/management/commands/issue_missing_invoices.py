"""`manage.py issue_missing_invoices`: for orders that were confirmed by code that knew of no invoices."""

from typing import Any

from django.core.management.base import BaseCommand

from marketplace.kernel.clock import database_now
from orders.invoicing import services


class Command(BaseCommand):
    """Write the invoices that are missing; run again, it finds nothing to do."""

    help = (
        "Write an invoice, dated now, for every order that stands and has none. Run it after an upgrade, when no "
        "worker of the earlier version is left: `make run` and the containers do so by themselves."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write them, and say how many."""
        count = services.issue_missing(now=database_now())
        if count:
            self.stdout.write(f"{count} invoice{'s' * (count != 1)} written.")
