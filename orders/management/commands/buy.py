"""`manage.py buy SKU`: place an order as a shopper would, and watch its saga unfold."""

import sys
import time
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.money import format_minor
from orders import selectors, services
from orders.models import ENDED, Status
from orders.selectors import OrderView
from orders.services import NewOrder, OrderLineRequest

POLL_SECONDS = 0.2


class Command(BaseCommand):
    help = "Place an order for one product; with --watch, print its saga step by step until it is decided."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sku")
        parser.add_argument("--quantity", type=int, default=1)
        parser.add_argument("--user", default="user-1", help="the buyer's username; '' for a guest (default: user-1)")
        parser.add_argument("--token", default="tok_visa", help="payment token; '' reserves without paying")
        parser.add_argument("--watch", action="store_true", help="follow the saga to its end")
        parser.add_argument("--timeout", type=float, default=120.0, help="seconds to watch at most")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["quantity"] <= services.MOST_UNITS:
            raise CommandError(f"--quantity must be between 1 and {services.MOST_UNITS}")
        line = OrderLineRequest(quantity=options["quantity"], sku=options["sku"])
        order = NewOrder(lines=(line,), user_id=options["user"], payment_method=options["token"])
        try:
            with transaction.atomic():
                view = services.place(order, now=database_now())
        except MarketplaceError as error:
            raise CommandError(error.message) from error
        total = format_minor(view.total_minor, view.currency)
        self.stdout.write(f"Order {view.number} ({view.id}) for {total} {view.currency}")
        if options["watch"]:
            view = self._watch(view.id, time.monotonic() + options["timeout"])
            self.stdout.write(f"{view.status}{': ' + view.failure_message if view.failure_message else ''}")
            if view.status in (Status.FAILED, Status.CANCELLED):
                sys.exit(1)

    def _watch(self, order_id: UUID, until: float) -> OrderView:
        """Print each step as it ends; return the order once it is decided, or waits for its buyer."""
        told = 0
        while True:
            view = selectors.order(order_id)
            story = selectors.saga_of(order_id)
            finished = [entry for entry in story.history if entry.duration_ms is not None]
            for entry in finished[told:]:
                arrow = "↩" if entry.direction == "compensating" else "→"
                attempt = f" (attempt {entry.attempt})" if entry.attempt > 1 else ""
                self.stdout.write(
                    f"  {arrow} {entry.step:<20} {entry.status:<8} {entry.duration_ms:>6} ms  {entry.message}{attempt}"
                )
            told = len(finished)
            if view.status in ENDED or view.status == Status.CONFIRMED or story.status == "NEEDS_ATTENTION":
                return view
            if view.status == Status.RESERVED and not view.payment_method:
                return view
            if time.monotonic() > until:
                raise CommandError(
                    f"Still {view.status} at {story.current_step}; the saga goes on without us watching."
                )
            time.sleep(POLL_SECONDS)
