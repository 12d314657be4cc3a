"""What an audit says: for each invariant whether it is proven, and if not, exactly what contradicts it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

MOST_FINDINGS = 1000  # of one invariant: who has that many needs no more of them, but another night's sleep


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction: about `subject` we `found` this, and `expected` that. All three in words."""

    invariant: str
    subject: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.subject}: found {self.found}; expected {self.expected}."


class Verdict(StrEnum):
    PROVEN = "proven"
    BROKEN = "broken"
    NOT_PROVEN = "not proven"  # somebody who had to be asked did not answer
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Proof:
    """One invariant, by its `code` and in one `sentence`, and what became of the attempt to prove it."""

    code: str
    sentence: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """An audit as of `at`. `looked_at` says how many of what were there, so that "nothing wrong" has a measure."""

    at: datetime
    looked_at: Mapping[str, int]
    proofs: tuple[Proof, ...]

    @property
    def clean(self) -> bool:
        """Whether every invariant that was to be proven is."""
        return all(proof.verdict in {Verdict.PROVEN, Verdict.SKIPPED} for proof in self.proofs)

    @property
    def findings(self) -> list[Finding]:
        """Every contradiction, invariant by invariant."""
        return [finding for proof in self.proofs for finding in proof.findings]

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "clean": self.clean,
            "at": self.at.isoformat(),
            "lookedAt": dict(self.looked_at),
            "invariants": [
                {
                    "code": proof.code,
                    "sentence": proof.sentence,
                    "verdict": proof.verdict.value,
                    "findings": [
                        {"subject": one.subject, "found": one.found, "expected": one.expected} for one in proof.findings
                    ],
                }
                for proof in self.proofs
            ],
        }
