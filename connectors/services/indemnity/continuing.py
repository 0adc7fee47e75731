"""A claim after earlier ones: only care that has something new, in the policy year as the others left it.

Each visit and stay is settled once. Care that was settled is opened again when a paper joins it (drugs that
were fetched later) or has been corrected: a visit is computed anew as a whole, and what was paid for it
already is taken off; where that changes no line, nothing is claimed. To a person go a stay, care with special
sessions, a result below what was paid, and a paper that has left the visit that it was settled in: the rules
do not say how to take back what such care has used of the year. So does what a person has decided.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

import rfc8785

from connectors.services.indemnity.claim import Claim, ClaimLine, Reason, cares_of, compute
from connectors.services.indemnity.claim_input import Bill, MissingDataError, PharmacyBill, Policy
from connectors.services.indemnity.papers import Key, RawRecords, key_of, read_papers
from connectors.services.indemnity.rules import Rules

_UNREADABLE: Final = "unreadable"


@dataclass(frozen=True)
class Records:
    """What was delivered, by kind: shaped record data."""

    bills: RawRecords
    details: RawRecords = ()
    prescriptions: RawRecords = ()
    pharmacy_bills: RawRecords = ()


@dataclass(frozen=True)
class Settled:
    """One paper as it was settled: the digest of what was read of it, and the lines that it got.

    `together`: every paper of its care. `is_with_person`: a person decides on it, and not the rules again.
    """

    digest: str
    lines: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    together: tuple[Key, ...] = ()
    is_with_person: bool = False

    @property
    def paid(self) -> int:
        """What its lines paid, in won."""
        return sum(line["paid"] for line in self.lines)


@dataclass(frozen=True)
class Earlier:
    """What earlier claims under one policy have settled. `used`: `ytd_used` as the last of them left it."""

    papers: Mapping[Key, Settled] = field(default_factory=dict)
    used: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Continued:
    """The further claim: `claim.payable` is what is paid now, less `already_paid` for the same care."""

    claim: Claim
    already_paid: int
    papers: Mapping[Key, Settled]
    used: Mapping[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """The claim as it is filed."""
        return self.claim.to_json() | {"already_paid": self.already_paid}


@dataclass(frozen=True)
class _Care:
    """Papers that are decided together. `is_within_stay`: a visit at an institution while in its beds."""

    keys: tuple[Key, ...]
    is_visit: bool = True
    is_within_stay: bool = False


class _Drawer:
    """Policy, rules, and the delivered records by paper, each with the digest of what is known of it."""

    def __init__(self, policy: Mapping[str, Any], records: Records, rules: Rules) -> None:
        self.policy, self.rules, self._records = policy, rules, records
        self.is_policy_readable = _is_readable(policy)
        self.bills = [(_key(Bill, raw), raw) for raw in records.bills]
        self.drugs = [(_key(PharmacyBill, raw), raw) for raw in records.pharmacy_bills]
        self.details = [(_key_of_detail(raw), raw) for raw in records.details]

    def digest(self, key: Key, care: "_Care", *, is_policy_readable: bool | None = None) -> str:
        """SHA-256 over everything that was delivered of a paper, its detailed bill too, and where it belongs.

        What waited for a policy is new once there is one.
        """
        kinds = (self.bills, self.drugs, self.details)
        known = [sorted(rfc8785.dumps(dict(raw)).hex() for at, raw in kind if at == key) for kind in kinds]
        is_readable = self.is_policy_readable if is_policy_readable is None else is_policy_readable
        return hashlib.sha256(rfc8785.dumps([is_readable, care.is_within_stay, *known])).hexdigest()

    def is_settled(self, key: Key, care: "_Care", known: Settled | None) -> bool:
        """Whether nothing about a paper is new. A policy that is missing now undoes nothing."""
        return known is not None and known.digest in {
            self.digest(key, care),
            self.digest(key, care, is_policy_readable=True),
        }

    def only(self, keys: Sequence[Key]) -> Records:
        """The records of some papers. Prescriptions only tell where drugs come from: all of them."""
        return Records(
            bills=[raw for key, raw in self.bills if key in keys],
            details=[raw for key, raw in self.details if key in keys],
            prescriptions=self._records.prescriptions,
            pharmacy_bills=[raw for key, raw in self.drugs if key in keys],
        )


def keys_of(records: Records) -> frozenset[Key]:
    """Every paper that money can be claimed for."""
    return frozenset(
        [_key(Bill, raw) for raw in records.bills]
        + [_key(PharmacyBill, raw) for raw in records.pharmacy_bills]
    )


def continue_claim(policy: Mapping[str, Any], records: Records, earlier: Earlier) -> Continued:
    """The claim for what is new in `records` since `earlier`; nothing new gives a claim without lines."""
    rules = Rules.load()
    drawer = _Drawer(policy, records, rules)
    used = _year_so_far(policy, earlier) if drawer.is_policy_readable else None
    lines: list[ClaimLine] = []
    reasons: list[Reason] = []
    settled: dict[Key, Settled] = {}
    payable = already_paid = 0
    for care in _fresh(drawer, records, rules, earlier):
        known = [earlier.papers[key] for key in care.keys if key in earlier.papers]
        paid_before = sum(one.paid for one in known)
        claim = _computed(drawer, care, known, used)
        if claim is None or used is None:
            told = claim.reasons if claim else [_for_a_person(rules, care, is_known=bool(known))]
            reasons += [reason for reason in told if reason not in reasons]
            settled |= _held(drawer, care, earlier, is_for_person=claim is None)
            continue
        after = {
            key: Settled(drawer.digest(key, care), _lines_of(claim, key, care), care.keys)
            for key in care.keys
        }
        if not claim.reasons and _is_as_before(after, earlier):
            settled |= after  # such as a detailed bill that came later and changes nothing
            continue
        lines += claim.lines
        reasons += [reason for reason in claim.reasons if reason not in reasons]
        payable += claim.payable - paid_before
        already_paid += paid_before
        used = claim.used_after or used
        settled |= after
    status: Literal["approved", "review"] = "review" if reasons else "approved"
    claim = Claim(tuple(lines), payable, status, tuple(reasons), used or {})
    return Continued(claim, already_paid, settled, used)


def _is_as_before(after: Mapping[Key, Settled], earlier: Earlier) -> bool:
    """Whether every paper of a care was settled already, with the very lines that it would get now."""
    return all(key in earlier.papers and earlier.papers[key].lines == one.lines for key, one in after.items())


def _held(drawer: _Drawer, care: _Care, earlier: Earlier, *, is_for_person: bool) -> dict[Key, Settled]:
    """Papers that wait, for a policy or for a person, who then decides for good. What was paid stays."""
    held = {}
    for key in care.keys:
        known = earlier.papers.get(key, Settled(""))
        is_with_person = is_for_person or known.is_with_person
        held[key] = replace(known, digest=drawer.digest(key, care), is_with_person=is_with_person)
    return held


def _is_readable(policy: Mapping[str, Any]) -> bool:
    try:
        Policy.of(policy)
    except MissingDataError:
        return False
    return True


def _year_so_far(policy: Mapping[str, Any], earlier: Earlier) -> Mapping[str, Any] | None:
    """What the policy year has used: as our last claim left it, unless a later year has begun since.

    A policy that tells of a year before that is out of date: its own figures would begin that year anew.
    """
    told: Mapping[str, Any] = policy["ytd_used"]
    is_new_year = earlier.used is None or told["year_from"] > earlier.used["year_from"]
    return told if is_new_year else earlier.used


def _fresh(drawer: _Drawer, records: Records, rules: Rules, earlier: Earlier) -> Iterator[_Care]:
    """Care of which a paper is new or has changed, oldest first; then papers that belong to none."""
    papers = read_papers(records.bills, records.details, records.prescriptions, records.pharmacy_bills)
    cares, apart = cares_of(papers, rules)
    found = [
        _Care(
            keys=tuple(dict.fromkeys(key_of(paper) for paper in care.papers)),
            is_visit=care.kind == "visit",
            is_within_stay=care.is_within_stay,
        )
        for care in cares
    ]
    found += [_Care((key_of(bill),)) for bill, _ in apart]
    unreadable = [key for key, _ in (*drawer.bills, *drawer.drugs) if key[0] == _UNREADABLE]
    found += [_Care((key,)) for key in dict.fromkeys(unreadable)]
    for care in found:
        if not all(drawer.is_settled(key, care, earlier.papers.get(key)) for key in care.keys):
            yield care


def _computed(
    drawer: _Drawer, care: _Care, known: Sequence[Settled], used: Mapping[str, Any] | None
) -> Claim | None:
    """The care's claim in the year as it stands; None if a person must decide. Without a policy, a reason."""
    policy = drawer.policy
    if used is not None:
        start = _given_back(used, known, drawer.rules)
        if start is None or care.is_within_stay or any(_is_beyond_the_rules(one, care) for one in known):
            return None
        policy = {**policy, "ytd_used": start}
    records = drawer.only(care.keys)
    claim = compute(
        policy,
        records.bills,
        details=records.details,
        prescriptions=records.prescriptions,
        pharmacy_bills=records.pharmacy_bills,
    )
    is_less = claim.payable < sum(one.paid for one in known)
    return None if is_less and used is not None else claim


def _is_beyond_the_rules(known: Settled, care: _Care) -> bool:
    """Whether a settled paper cannot be computed anew with what its care is now."""
    return known.is_with_person or not care.is_visit or not set(known.together) <= set(care.keys)


def _given_back(used: Mapping[str, Any], known: Sequence[Settled], rules: Rules) -> Mapping[str, Any] | None:
    """The year without what a visit has used of it; None where that cannot be told (sessions, stays)."""
    lines = [line for one in known for line in one.lines]
    others = {rule.id for rule in rules.special.values()} | {rule.id for rule in rules.stays.values()}
    if not others.isdisjoint(line["rule_id"] for line in lines):
        return None
    paid = {
        part: sum(line["paid"] for line in lines if line["part"] == part)
        for part in ("covered", "noncovered")
    }
    return {
        **used,
        "covered": used["covered"] - paid["covered"],
        "noncovered": used["noncovered"] - paid["noncovered"],
        "noncovered_visits": used["noncovered_visits"] - (paid["noncovered"] > 0),
    }


def _lines_of(claim: Claim, key: Key, care: _Care) -> tuple[Mapping[str, Any], ...]:
    """The lines of one paper of a care. A line names no institution: of two with one number, the first's."""
    owners = {number: (institution, number) for institution, number in reversed(care.keys)}
    return tuple(asdict(line) for line in claim.lines if owners.get(line.bill_no, care.keys[0]) == key)


def _for_a_person(rules: Rules, care: _Care, *, is_known: bool) -> Reason:
    rule_id = "review.reopened_care" if is_known else "review.visit_during_stay"
    return Reason(rule_id, care.keys[0][1], None, rules.findings[rule_id].explanation)


def _key(model: type[Bill] | type[PharmacyBill], raw: Mapping[str, Any]) -> Key:
    """Institution and number; of what cannot be read, its digest."""
    try:
        return key_of(model.of(raw))
    except MissingDataError:
        return _UNREADABLE, hashlib.sha256(rfc8785.dumps(dict(raw))).hexdigest()


def _key_of_detail(raw: Mapping[str, Any]) -> Key:
    """The bill that a detailed bill is for, whether or not the rest of it can be read."""
    place = raw.get("institution")
    return str(place.get("hira_code") if isinstance(place, Mapping) else None), str(raw.get("bill_no"))
