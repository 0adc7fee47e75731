"""What a self-check finds: a requirement, the clause that it comes from, and how it stands with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a requirement came out. A warning is a choice that somebody may have made; a failure is not."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    WARNING = "warning"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that is demanded: a stable name, the clause that demands it, and what that says in words."""

    name: str
    clause: str
    statement: str


@dataclass(frozen=True, slots=True)
class Finding:
    """How it stands with a requirement; `facts` are the values that decided, as they are registered."""

    requirement: Requirement
    verdict: Verdict
    facts: tuple[str, ...] = ()

    @property
    def explanation(self) -> str:
        """In one line: what is demanded, and what is not so."""
        if not self.facts:
            return self.requirement.statement
        told = ", ".join(self.facts)
        bad = self.verdict in {Verdict.FAIL, Verdict.WARNING}
        return f"{self.requirement.statement} {'Not so' if bad else 'Found'}: {told}."

    def told(self) -> dict[str, str]:
        """The finding as it is printed: a promise of `mydata client check -o json`."""
        return {
            "requirement": self.requirement.name,
            "clause": self.requirement.clause,
            "verdict": str(self.verdict),
            "explanation": self.explanation,
        }


def judged(requirement: Requirement, wrong: Iterable[str], *, doubtful: Iterable[str] = ()) -> Finding:
    """A failure for what is wrong, else a warning for what is doubtful, else a pass."""
    for verdict, facts in ((Verdict.FAIL, tuple(wrong)), (Verdict.WARNING, tuple(doubtful))):
        if facts:
            return Finding(requirement, verdict, facts)
    return Finding(requirement, Verdict.PASS)


def not_applicable(requirement: Requirement) -> Finding:
    """The requirement is not one of this profile, or there is nothing that it could be asked of."""
    return Finding(requirement, Verdict.NOT_APPLICABLE)


def has_failed(findings: Iterable[Finding]) -> bool:
    """Whether one of them is a failure."""
    return any(finding.verdict is Verdict.FAIL for finding in findings)
