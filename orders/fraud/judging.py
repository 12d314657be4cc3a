"""Asking every checker, and saying what follows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from orders.fraud.checks import CHECKERS
from orders.fraud.protocol import Checker, Facts, Finding, Verdict


class Judgement(NamedTuple):
    """What is to become of an order, and why: every finding, for staff."""

    verdict: Verdict
    findings: tuple[Finding, ...]

    @property
    def reasons(self) -> str:
        """The findings in one breath."""
        return "; ".join(finding.reason for finding in self.findings)


PASSED = Judgement(Verdict.PASS, ())
_STRICTNESS = (Verdict.PASS, Verdict.REVIEW, Verdict.REJECT)


def judge(orders: Sequence[Facts], *, now: datetime) -> Mapping[UUID, Judgement]:
    """Ask every checker about all of `orders`; return those of which any has found something. The others have passed.

    The strictest finding of an order decides. Reads only; the number of queries does not depend on that of the orders.
    """
    found: dict[UUID, list[Finding]] = {}
    for check in (*CHECKERS, *_more(tuple(settings.FRAUD_CHECKERS))):
        for order_id, findings in check(orders, now=now).items():
            if findings:
                found.setdefault(order_id, []).extend(findings)
    return {
        order_id: Judgement(max((one.verdict for one in findings), key=_STRICTNESS.index), tuple(findings))
        for order_id, findings in found.items()
    }


@cache
def _more(names: tuple[str, ...]) -> tuple[Checker, ...]:
    return tuple(import_string(name) for name in names)
