"""`manage.py reconcile`: compare our payments with the gateway's own list; settle or close a case."""

import sys
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from marketplace.kernel.bulk import to_json
from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from payments import reconciliation
from payments.models import ReconciliationCase
from payments.reconciliation import Reconciliation
from payments.states import CaseStatus


class Command(BaseCommand):
    """Exit code 0: both sides agree, or the case is dealt with; 1: cases are open."""

    help = "Compare our payments with the gateway's own list, and open a case for each difference."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Compare, or with a case's number: deal with that one."""
        parser.add_argument("--gateway", default="", choices=["", *settings.PAYMENT_GATEWAYS], help="default: ours")
        parser.add_argument("--days", type=int, default=30, help="how far to look back (default: 30; 0: everything)")
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
        case = parser.add_mutually_exclusive_group()
        case.add_argument("--settle", type=int, metavar="CASE", help="do what is right for this case")
        case.add_argument("--close", type=int, metavar="CASE", help="close this case by hand")
        parser.add_argument("--actor", default="", help="who you are; needed with a case")
        parser.add_argument("--reason", default="", help="why; needed with a case")

    def handle(self, *args: Any, **options: Any) -> None:
        """Translate, and make one call."""
        try:
            if options["settle"] or options["close"]:
                self._deal_with(options)
            else:
                self._compare(options)
        except MarketplaceError as error:
            raise CommandError(error.message) from error

    def _deal_with(self, options: dict[str, Any]) -> None:
        who = {"actor": options["actor"], "reason": options["reason"]}
        if not all(value.strip() for value in who.values()):
            raise CommandError("--actor and --reason are needed: they go on record.")
        if options["settle"]:
            self.stdout.write(reconciliation.settle(options["settle"], **who))
        else:
            reconciliation.close_by_hand(options["close"], **who)
            self.stdout.write("Closed by hand.")

    def _compare(self, options: dict[str, Any]) -> None:
        if options["days"] < 0:
            raise CommandError("--days must be 0 or more.")
        since = database_now() - timedelta(days=options["days"]) if options["days"] else None
        found = reconciliation.reconcile(gateway=options["gateway"], since=since)
        cases = list(ReconciliationCase.objects.filter(gateway=found.gateway, status=CaseStatus.OPEN).order_by("id"))
        self.stdout.write(_as_json(found, cases) if options["json"] else _in_words(found, cases))
        if cases:
            sys.exit(1)


def _as_json(found: Reconciliation, cases: list[ReconciliationCase]) -> str:
    fields = ("id", "kind", "key", "reference_id", "ours", "theirs", "first_seen_at")
    return to_json({**asdict(found), "cases": [{name: getattr(case, name) for name in fields} for case in cases]})


def _in_words(found: Reconciliation, cases: list[ReconciliationCase]) -> str:
    lines = [
        f"  #{case.id} {case.get_kind_display()}: {case.key}\n      ours: {case.ours or 'nothing'}\n"
        f"      {case.gateway}: {case.theirs or 'nothing'}"
        for case in cases
    ]
    told = (
        f"{found.charges} charges at {found.gateway}: {found.opened} new cases, {found.gone} gone, {found.open} open."
    )
    return "\n".join([told, *lines])
