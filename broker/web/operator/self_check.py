"""The operator's self-check: the server and every client, each requirement with its clause. Read-only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.deps import Installed, Now, Read
from broker.oauth.clients import RegisteredClient
from broker.oauth.self_check.findings import Finding, Verdict
from broker.oauth.self_check.report import Checked, checked_clients, server_findings
from broker.web.i18n import Words
from broker.web.listing import SHOWN, more_in_words
from broker.web.operator import check_wording
from broker.web.rendering import PageOf
from broker.web.signin.guards import require_operator

router = APIRouter(prefix="/operate", dependencies=[Depends(require_operator)])

_BADGES: Final = {Verdict.PASS: "active", Verdict.FAIL: "needed", Verdict.WARNING: "waiting"}


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement as the page shows it. `facts` are values as they are registered."""

    name: str
    statement: str
    clause: str
    verdict: str
    badge: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The server, or one client."""

    client: RegisteredClient | None
    failed: int
    warned: int
    lines: Sequence[Line]


@router.get("/self-check", name="self_check")
def show_self_check(page: PageOf, installation: Installed, session: Read, now: Now) -> Response:
    """The server first, then the clients, those that fail before those that do not."""
    words = page.words
    checked = sorted(checked_clients(installation, session, now), key=_urgency)
    return page.answer(
        "operator/self_check.html",
        server=_part(words, None, server_findings(installation, now)),
        clients=[_part(words, one.client, one.findings) for one in checked[:SHOWN]],
        total=len(checked),
        failing=sum(1 for one in checked if _count(one.findings, Verdict.FAIL)),
        more=more_in_words(words, max(0, len(checked) - SHOWN)),
    )


def _urgency(one: Checked) -> tuple[int, int, str]:
    return (
        -_count(one.findings, Verdict.FAIL),
        -_count(one.findings, Verdict.WARNING),
        one.client.client_id,
    )


def _part(words: Words, client: RegisteredClient | None, findings: Sequence[Finding]) -> Part:
    return Part(
        client=client,
        failed=_count(findings, Verdict.FAIL),
        warned=_count(findings, Verdict.WARNING),
        lines=[_line(words, finding) for finding in findings],
    )


def _line(words: Words, finding: Finding) -> Line:
    requirement = finding.requirement
    return Line(
        name=requirement.name,
        statement=check_wording.statement(words, requirement.name),
        clause=requirement.clause,
        verdict=check_wording.verdict(words, finding.verdict),
        badge=_BADGES.get(finding.verdict, "optional"),
        facts=finding.facts,
    )


def _count(findings: Iterable[Finding], verdict: Verdict) -> int:
    return sum(1 for finding in findings if finding.verdict is verdict)
