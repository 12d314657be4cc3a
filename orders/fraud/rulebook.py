"""The rules in force, as each process has them in mind.

They are read at most once a second, so that the check of an order costs no query where there are no rules, and none
more than the rules themselves need. So a change counts for every check that begins a second after it was saved, or
later, in whatever process; in the one that saved it, at once.
"""

import time
from dataclasses import dataclass
from typing import Final

from orders.fraud.models import DenyEntry, FraudRule

KEPT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Every rule that is on, and which kinds of entries the deny list has that are on."""

    rules: tuple[FraudRule, ...]
    denied: frozenset[str]

    def of(self, *kinds: str) -> tuple[FraudRule, ...]:
        """The rules of these kinds."""
        return tuple(rule for rule in self.rules if rule.kind in kinds)


_kept: tuple[float, Rulebook] | None = None


def rulebook() -> Rulebook:
    """Return the rules in force, at most `KEPT_SECONDS` old. Two small queries when they are read anew."""
    global _kept  # noqa: PLW0603 - what a process keeps in mind is the process's
    kept, begun = _kept, time.monotonic()
    if kept is None or begun >= kept[0]:
        rules = tuple(FraudRule.objects.filter(is_active=True))
        denied = DenyEntry.objects.filter(is_active=True).order_by().values_list("kind", flat=True).distinct()
        kept = _kept = (begun + KEPT_SECONDS, Rulebook(rules, frozenset(denied)))
    return kept[1]


def forget() -> None:
    """Read them anew the next time."""
    global _kept  # noqa: PLW0603
    _kept = None
