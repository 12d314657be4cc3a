"""`manage.py start_missing_shipments`: for orders that were confirmed by code that shipped nothing."""

from typing import Any

from django.core.management.base import BaseCommand

from marketplace.kernel.clock import database_now
from orders import missing_shipments


class Command(BaseCommand):
    """Start the shipments that are missing; run again, it finds nothing to do."""

    help = (
        "Start `fulfill_order` for every order that is confirmed, is not being taken back, and has no such saga: the "
        "warehouse is to pack it then. Run it after an upgrade, when no worker of the earlier version is left: `make "
        "run` and the containers do so by themselves."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Start them, and say how many, batch by batch."""
        for count in missing_shipments.start_missing(now=database_now()):
            self.stdout.write(f"{count} shipment{'s' * (count != 1)} started.")
