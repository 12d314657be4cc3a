"""`manage.py audit`: prove that no unit is oversold and no money astray, or say what contradicts it."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from marketplace.kernel.bulk import to_json
from marketplace.operations.auditor import Report, Verdict, audit
from marketplace.operations.auditor.report import MOST_FINDINGS

_MARKS = {
    Verdict.PROVEN: "ok     ",
    Verdict.BROKEN: "BROKEN ",
    Verdict.NOT_PROVEN: "UNKNOWN",
    Verdict.SKIPPED: "skipped",
}


class Command(BaseCommand):
    """Run the audit once. Exit code 0: everything is proven; 1: something is broken, or could not be proven."""

    help = "Prove the shop's invariants, while it is open. Exit code 1 when one is broken or can't be proven."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--json` for programs, `--skip-gateway` where the gateway need not be asked."""
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument("--skip-gateway", action="store_true", help="leave out the gateway's own list")

    def handle(self, *args: Any, **options: Any) -> None:
        """Audit, print, and leave with the exit code."""
        report = audit(ask_gateway=not options["skip_gateway"])
        self.stdout.write(to_json(report.as_json()) if options["json"] else _in_words(report))
        if not report.clean:
            sys.exit(1)


def _in_words(report: Report) -> str:
    lines = [f"As of {report.at:%Y-%m-%d %H:%M:%S} UTC:"]
    for proof in report.proofs:
        lines.append(f"  {_MARKS[proof.verdict]}  {proof.sentence}")
        lines.extend(f"           - {finding}" for finding in proof.findings)
        if len(proof.findings) == MOST_FINDINGS:
            lines.append("           - … and perhaps more: these are the first ones.")
    looked_at = ", ".join(f"{count} {what}" for what, count in report.looked_at.items())
    count = len(report.findings)
    verdict = "Everything is proven." if report.clean else f"{count} finding{'s' * (count != 1)}: see above."
    return "\n".join([*lines, f"Looked at {looked_at}.", verdict])
