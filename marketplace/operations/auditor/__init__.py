"""The auditor: proves, at any moment and while the shop is open, that nothing is oversold and no money is astray.

Our side is read in one snapshot, so what it says holds for one instant, however many orders are under way. The
gateway's side can only be asked over the network; what differs there is looked at a second time before it is believed.
Nothing is written, and nobody has to wait for it.
"""

from collections.abc import Callable, Iterable
from typing import Final

from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import gateway, money, papers, parcels, returns, stock, stories
from marketplace.operations.auditor.report import Finding, Proof, Report, Verdict
from marketplace.operations.auditor.snapshot import rows, snapshot
from payments.gateways.base import GatewayUnavailable

__all__ = ["INVARIANTS", "Finding", "Proof", "Report", "Verdict", "audit"]

Question = Callable[[], Iterable[Finding]]

# Code, what must be true in one sentence, and who looks for what contradicts it.
INVARIANTS: Final[tuple[tuple[str, str, Question], ...]] = (
    (stock.STOCK_ADDS_UP, "Stock adds up: levels = ledger = reservations.", stock.stock_adds_up),
    (stock.NOTHING_NEGATIVE, "No level, quantity or amount is negative.", stock.nothing_negative),
    (stock.HOLDS_ARE_LIVE, "Every live hold has a live saga.", stock.holds_are_live),
    (
        stock.UNITS_FOLLOW_ORDERS,
        "Confirmed orders have their units, ended ones have given theirs back.",
        stock.units_follow_orders,
    ),
    (money.CONFIRMED_IS_PAID, "No order is confirmed without captured money.", money.confirmed_is_paid),
    (
        money.MONEY_HAS_A_REASON,
        "No money is authorized or captured without a confirmed order, a live saga or a case in NEEDS_ATTENTION.",
        money.money_has_a_reason,
    ),
    (money.CHARGED_ONCE, "No order is charged more than it costs.", money.charged_once),
    (money.REFUNDS_WITHIN_CAPTURES, "Refunds never exceed captures.", money.refunds_within_captures),
    (
        money.REFUNDS_COME_THROUGH,
        "No refund is stuck for more than a day, and none is said to be done that is not.",
        money.refunds_come_through,
    ),
    (money.CASES_SETTLED, "Every difference with the gateway that was found is settled.", money.cases_settled),
    (stories.ENDS_AGREE, "Orders and their sagas end together.", stories.ends_agree),
    (
        stories.REVERSALS_AGREE,
        "A confirmed order is taken back by a live saga, and cancelled with its money refunded.",
        stories.reversals_agree,
    ),
    (
        papers.NUMBERS_GAPLESS,
        "The numbers of invoices and of credit notes are gapless in each year.",
        papers.numbers_gapless,
    ),
    (papers.CONFIRMED_IS_INVOICED, "Every order that stands has one invoice.", papers.confirmed_is_invoiced),
    (
        papers.CREDITS_ADD_UP,
        "Credit notes add up, and what was taken back is credited whole.",
        papers.credits_add_up,
    ),
    (parcels.ORDERS_ARE_SHIPPED, "Every confirmed order is being shipped, or taken back.", parcels.orders_are_shipped),
    (parcels.PARCELS_FOLLOW_ORDERS, "No parcel goes out for an order that has ended.", parcels.parcels_follow_orders),
    (returns.RETURNS_COME_THROUGH, "Every open return has a living saga.", returns.come_through),
    (returns.RETURNS_ADD_UP, "No more comes back than was bought, and it is on the shelf.", returns.add_up),
    (stories.EVENTS_GAPLESS, "The events of each saga are numbered without a gap.", stories.events_gapless),
    (stories.ENDS_ARE_TOLD, "Every beginning and end of an order was told once.", stories.ends_are_told),
)
_LEDGERS_MATCH: Final = "Our payments match the gateway's own list."

_LOOKED_AT: Final = """
SELECT (SELECT count(*) FROM inventory_stock), (SELECT count(*) FROM orders_order),
       (SELECT count(*) FROM sagas_every), (SELECT count(*) FROM payments_payment),
       (SELECT count(*) FROM outbox_event)
"""


def audit(*, ask_gateway: bool = True) -> Report:
    """Try to prove every invariant and return what was found. Needs to be outside of any transaction.

    Without `ask_gateway` the comparison with the gateway's list is skipped. A gateway that can't be reached leaves that
    one not proven, and the report not clean.
    """
    with snapshot():
        at = database_now()
        [counts] = rows(_LOOKED_AT, {})
        proofs = [_prove(code, sentence, find) for code, sentence, find in INVARIANTS]
    looked_at = dict(zip(("SKUs", "orders", "sagas", "payments", "events"), counts, strict=True))
    if not ask_gateway:
        proofs.append(Proof(gateway.LEDGERS_MATCH, _LEDGERS_MATCH, Verdict.SKIPPED))
        return Report(at, looked_at, tuple(proofs))
    proof, charges = _compare()
    return Report(at, {**looked_at, "charges at the gateway": charges}, (*proofs, proof))


def _prove(code: str, sentence: str, find: Question) -> Proof:
    findings = tuple(find())
    return Proof(code, sentence, Verdict.BROKEN if findings else Verdict.PROVEN, findings)


def _compare() -> tuple[Proof, int]:
    try:
        findings, charges = gateway.differences()
    except GatewayUnavailable as error:
        finding = Finding(gateway.LEDGERS_MATCH, "the gateway", error.message, "its list of charges")
        return Proof(gateway.LEDGERS_MATCH, _LEDGERS_MATCH, Verdict.NOT_PROVEN, (finding,)), 0
    verdict = Verdict.BROKEN if findings else Verdict.PROVEN
    return Proof(gateway.LEDGERS_MATCH, _LEDGERS_MATCH, verdict, tuple(findings)), charges
