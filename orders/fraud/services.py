"""Changing the rules and the deny list: every change is on record, with who and when."""

from datetime import datetime
from typing import Any, Final

from django.db import transaction

from orders.fraud import rulebook
from orders.fraud.models import DenyEntry, FraudRule, RuleChange

_KEPT: Final[dict[type[Any], tuple[str, ...]]] = {
    FraudRule: (
        "name", "kind", "leads_to", "is_active", "currency", "amount_minor", "most_orders", "window_minutes",
    ),
    DenyEntry: ("kind", "value", "leads_to", "is_active", "note"),
}  # fmt: skip
_WHAT: Final[dict[type[Any], str]] = {FraudRule: "rule", DenyEntry: "denied"}


@transaction.atomic
def save(row: FraudRule | DenyEntry, *, actor: str, now: datetime) -> None:
    """Validate and write a rule, or an entry of the deny list; `actor` goes on record with what changed.

    Saving what is there already changes nothing and leaves no trace. Takes the row's lock, in its own transaction.
    Raises `ValidationError`.
    """
    kind = type(row)
    row.full_clean()
    before = kind.objects.select_for_update().filter(pk=row.pk).first() if row.pk else None
    if before is not None and _values(before) == _values(row):
        return
    row.save()
    old = _values(before) if before else {}
    _on_record(row, "CHANGED" if before else "ADDED", before=old, after=_values(row), actor=actor, at=now)


@transaction.atomic
def remove(row: FraudRule | DenyEntry, *, actor: str, now: datetime) -> None:
    """Take a rule, or an entry of the deny list, away; what it said stays on record. In its own transaction."""
    key = row.pk
    row.delete()
    row.pk = key  # which it is on record by
    _on_record(row, "REMOVED", before=_values(row), after={}, actor=actor, at=now)


def _values(row: FraudRule | DenyEntry) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _KEPT[type(row)]}


def _on_record(row: FraudRule | DenyEntry, action: str, **change: Any) -> None:
    RuleChange.objects.create(what=_WHAT[type(row)], row_id=row.pk, name=str(row), action=action, **change)
    rulebook.forget()
    transaction.on_commit(rulebook.forget)
