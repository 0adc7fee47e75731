"""What may be asked, what is agreed to and what is answered, while the purpose gets tighter and tighter.

Each example is one person whose recipient asks for records, or for answers about them. Invariants 5, 15 and
26, whatever order things happen in.
"""

import base64
import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, ClassVar, Final

from httpx import Response
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlmodel import select

from consent.caps import check_caps
from consent.erasure import erase_source, erase_subject
from consent.errors import InvalidTermsError
from consent.ledger.models import LedgerEntry
from consent.lifecycle import Signature
from consent.models import DeliveryRecord
from consent.purposes import Purpose
from consent.staff import Staff
from consent.terms import Item, Terms, parse, stored
from consent.versions import version_id_of
from consent.vocabulary import Mode
from tests.consent import changes as steps
from tests.consent.details import BILL, HOSPITAL, POLICY, objects_in
from tests.invariants.scene import AMOUNTS, KEYS, WHICH, Scene, is_taken
from tests.lane.world import World

STAFF: Final = Staff("minji", "request 8")
FIELDS: Final = ("institution", "period", "lines", "totals", "bill_no", "care_type", "issue_date", "patient")
CONSTANTS: Final = (300_000_000, 600_000_000, 900_000_000)
NOT_DECLARED: Final = 450_000_000
PREDICATE: Final = st.sampled_from([*CONSTANTS, *CONSTANTS, *CONSTANTS, NOT_DECLARED]).map(
    lambda value: {"mode": "predicate", "predicate": {"name": "paid_at_least", "value": value}}
)
SOME_FIELDS: Final = st.lists(st.sampled_from(FIELDS), min_size=1, unique=True).map(
    lambda fields: {"mode": "fields", "fields": fields}
)
OF_BILLS: Final = st.one_of(PREDICATE, PREDICATE, SOME_FIELDS, st.just({"mode": "document"}))
OF_POLICIES: Final = st.sampled_from(
    [
        [],
        [],
        [{"mode": "predicate", "predicate": {"name": "in_force"}}],
        [{"mode": "predicate", "predicate": {"name": "generation_one_of", "value": ["3", "4"]}}],
        [{"mode": "document"}],
    ]
)
ITEMS: Final = st.builds(
    lambda bills, policies: [
        {"record_type": BILL, "required": True, **bills},
        *({"record_type": POLICY, "required": False, **one} for one in policies),
    ],
    OF_BILLS,
    OF_POLICIES,
)
# Mostly within the widest purpose, at its edge, or one beyond it.
BOUNDED: Final = st.fixed_dictionaries(
    {
        "cycles": st.sampled_from([0, 0, 1, 2, 2, 3]),
        "days": st.sampled_from([2, 20, 20, 40, 40, 41]),
        "lookback": st.sampled_from([1, 100, 100, 200, 200, 201]),
        "retention": st.sampled_from([0, 30, 30, 60, 60, 61]),
    }
)
BOUNDS: Final = {
    "max_pulls": (1, 2),
    "max_days": (3, 40),
    "max_lookback_days": (1, 200),
    "max_retention_days": (0, 60),
}


class AskingMachine(RuleBasedStateMachine):
    """One person, and a purpose that only ever gets tighter."""

    world: ClassVar[World]
    steps_taken: ClassVar[int] = 0
    alike: ClassVar[dict[str, object]]
    """What was said once in a case, and must be said in every other one of its kind."""

    @initialize(amounts=st.lists(AMOUNTS, max_size=2), items=ITEMS)
    def begin(self, amounts: list[int], items: list[dict[str, Any]]) -> None:
        self.scene = Scene(self.world, amounts)
        self.office = self.scene.office
        today = self.office.clock().date()
        self.visits: list[tuple[date, int]] = [(today, amount) for amount in amounts]
        self.purposes = [_declared(self.office.purpose, self.world)]  # the widest first
        self.agreed: dict[str, tuple[bytes, Purpose]] = {}  # by version: the terms, and what they lay within
        self.answers: dict[str, bytes] = {}  # by delivery
        self.is_erased = False
        self.ask(items, {"cycles": 2, "days": 20, "lookback": 100, "retention": 30}, 0, is_pulled=True)

    # Asking

    @precondition(lambda self: len(self.scene.grants) < 5)
    @rule(items=ITEMS, bounds=BOUNDED, where=st.integers(0, 20), is_pulled=st.booleans())
    def ask(self, items: list[dict[str, Any]], bounds: dict[str, int], where: int, is_pulled: bool) -> None:  # noqa: FBT001 - drawn
        is_answered = any(item["mode"] == "predicate" for item in items)
        earliest = self.office.clock().date() - timedelta(days=bounds["lookback"])
        terms = self.scene.terms(
            {
                "items": items,
                "access.kind": "periodic" if bounds["cycles"] else "once",
                "access.max_pulls": bounds["cycles"] or (1 if is_answered else 2),
                **({"access.cycle": "P1W"} if bounds["cycles"] else {}),
                "data_period.from": earliest.isoformat(),
                "retention.store": bounds["retention"] > 0,
                "retention.period": f"P{bounds['retention']}D",
            },
            days=bounds["days"],
        )
        _comes_back_as_it_was(terms)
        _has_no_room_for_what_nobody_knows(terms, where)
        allowed = [not self._faults(terms, purpose) for purpose in self.purposes]
        # Invariant 15: what a wider purpose refuses no tighter one lets through.
        assert allowed == sorted(allowed, reverse=True)
        if allowed[-1]:
            self._agree(terms)
            if is_pulled:
                self.pull(0, "one")

    @rule(data=st.data())
    def tighten(self, data: st.DataObject) -> None:
        """The operator declares less than before. What was agreed to stays what it was: see the invariant."""
        tighter = data.draw(tightened(self.purposes[-1]))
        if tighter != self.purposes[-1]:
            self.purposes.append(tighter)

    @precondition(lambda self: self.scene.grants)
    @rule(which=WHICH)
    def renew(self, which: int) -> None:
        grant_id, purpose = self.scene.one(which), self.purposes[-1]
        before = self.scene.consent(grant_id)
        if is_taken(lambda: steps.renew(self.office, grant_id, purpose)):
            self._remember(version_id_of(grant_id, before.version_number + 1), purpose)

    # What is answered

    @precondition(lambda self: not self.is_erased and len(self.visits) < 4)
    @rule(amount=AMOUNTS)
    def visit(self, amount: int) -> None:
        self.scene.visit(amount)
        self.visits.append((self.office.clock().date(), amount))

    @precondition(lambda self: self.scene.grants)
    @rule(which=WHICH, key=KEYS)
    def pull(self, which: int, key: str) -> None:
        grant_id = self.scene.one(which)
        answer = self.scene.pull(grant_id, key)
        if answer.status_code == 200:
            self._judge(grant_id, answer)
        else:
            self._says_no_more_than_no(answer)

    @precondition(lambda self: self.scene.grants)
    @rule(which=WHICH, step=st.sampled_from(["pause", "resume", "resume", "withdraw"]))
    def decide(self, which: int, step: str) -> None:
        is_taken(lambda: getattr(self.office, step)(self.scene.one(which)))

    @rule(by=st.sampled_from([timedelta(minutes=5), timedelta(days=1), timedelta(days=8)]))
    def wait(self, by: timedelta) -> None:
        self.office.clock.advance(by)

    @precondition(lambda self: self.answers and not self.is_erased)
    @rule()
    def erase_what_the_hospital_sent(self) -> None:
        self.is_erased = True
        with self.office.work() as work:
            erase_source(
                work,
                self.office.keyring,
                self.office.subject_id,
                HOSPITAL,
                staff=STAFF,
                now=self.office.clock(),
            )

    # What must hold after every step

    @invariant()
    def what_was_agreed_stays_and_lay_within(self) -> None:
        """Invariants 15 and 26: no declaration changes a consent, and each lay within the one of its day."""
        type(self).steps_taken += 1
        for version_id, (canonical, _) in self.agreed.items():
            assert self.scene.terms_of(version_id).canonical() == canonical

    def teardown(self) -> None:
        if hasattr(self, "is_erased"):
            with self.office.work() as work:
                now = self.office.clock()
                erase_subject(work, self.office.keyring, self.office.subject_id, STAFF, now)

    # How it is done

    def _faults(self, terms: Terms, purpose: Purpose) -> list[tuple[str, str]]:
        try:
            check_caps(terms, purpose, self.world.installation.catalogue, self.office.clock())
        except InvalidTermsError as error:
            return error.faults
        return []

    def _agree(self, terms: Terms) -> None:
        purpose, grant_id = self.purposes[-1], self.scene.ask(terms)
        granted = frozenset(item.record_type for item in terms.items)
        digest = purpose.notice_digest("ko")
        signature = Signature(grant_id, self.office.subject_id, granted, digest, "ko")
        assert self.office.sign(signature, purpose=purpose).terms == terms
        self._remember(version_id_of(grant_id, 1), purpose)

    def _remember(self, version_id: str, purpose: Purpose) -> None:
        """What is agreed now lies within the purpose as it is declared now, looked at once more."""
        terms = self.scene.terms_of(version_id)
        catalogue, now = self.world.installation.catalogue, self.office.clock()
        caps = purpose.caps_of(terms.access.kind)
        assert caps is not None
        assert terms.access.max_pulls <= caps.max_pulls
        assert terms.access.valid_until <= now + timedelta(days=caps.max_days)
        assert terms.data_period.from_ >= now.date() - timedelta(days=caps.max_lookback_days)
        assert terms.retention.days <= caps.max_retention_days
        for item in terms.items:
            declared = purpose.item(item.record_type)
            assert declared is not None
            assert item.mode in declared.modes
            if item.predicate is not None:
                values = declared.predicates[item.predicate.name]
                assert item.predicate.value in (values or (None,))
            elif item.mode is Mode.FIELDS:
                assert set(item.fields or ()) <= set(declared.fields)
            else:
                assert set(catalogue.get(item.record_type).fields) <= set(declared.fields)
        self.agreed[version_id] = terms.canonical(), purpose

    def _judge(self, grant_id: str, answer: Response) -> None:
        """Invariants 5 and 15: what leaves is what was agreed, and of an answer nothing but the answer."""
        body = answer.json()
        delivery_id = body["delivery_id"]
        is_first = delivery_id not in self.answers
        assert self.answers.setdefault(delivery_id, answer.content) == answer.content
        (delivery,) = [one for one in self.scene.deliveries(grant_id) if one.delivery_id == delivery_id]
        terms, purpose = self.scene.terms_of(delivery.version_id), self.agreed[delivery.version_id][1]
        for item in terms.items:
            entries = body["records"].get(item.record_type, [])
            declared = purpose.item(item.record_type)
            assert declared is not None
            if item.mode is not Mode.PREDICATE:
                assert all(set(entry["data"]) <= set(declared.fields) for entry in entries)
                continue
            (entry,) = entries
            claims = json.loads(_decoded(entry["data"]["signature"].split(".")[1]))
            assert claims["answer"] == entry["data"]["answer"]
            assert set(entry["data"]) == {"predicate", "answer", "as_of", "rule", "padding", "signature"}
            if is_first and item.record_type == BILL:
                assert entry["data"]["answer"] == self._truth(terms, item)
        if all(item.mode is Mode.PREDICATE for item in terms.items):
            self._tells_nothing_else(terms, answer)

    def _tells_nothing_else(self, terms: Terms, answer: Response) -> None:
        """Neither in the text, nor under the signature, nor in the log, nor by its size."""
        body = answer.json()
        signed = [
            _decoded(entry["data"]["signature"].split(".")[1]).decode()
            for entries in body["records"].values()
            for entry in entries
        ]
        total = str(sum(amount for _, amount in self.visits))
        with self.world.installation.data.read() as session:
            of_it = DeliveryRecord.delivery_id == body["delivery_id"]
            pinned = session.exec(select(DeliveryRecord.record_id).where(of_it)).all()
            handle = self.scene.consent(body["grant_id"]).handle
            leaves = session.exec(select(LedgerEntry.leaf).where(LedgerEntry.handle == handle)).all()
        told = "\n".join([answer.text, *signed, *(leaf.decode() for leaf in leaves)])
        secrets = [*self.scene.secrets, *([total] if self.visits else []), *pinned]
        assert [secret for secret in secrets if secret in told] == []
        # The constants are all of one length, so the names are all that may make a difference.
        asked = [item.predicate.name for item in terms.items if item.predicate is not None]
        self._is_as_ever(f"answers to {asked}", len(answer.content))

    def _says_no_more_than_no(self, answer: Response) -> None:
        """A refusal is one text for each reason, whatever lies behind it."""
        assert answer.status_code in {401, 403, 410, 422}, answer.text
        said = {name: value for name, value in answer.json().items() if name != "trace_id"}
        self._is_as_ever(said["code"], (said, len(answer.content)))

    def _is_as_ever(self, kind: str, said: object) -> None:
        assert type(self).alike.setdefault(kind, said) == said

    def _truth(self, terms: Terms, item: Item) -> bool | None:
        """What one finds out oneself; None where there is nothing to look at."""
        counted = (
            []
            if self.is_erased
            else [amount for day, amount in self.visits if terms.data_period.contains(day, day)]
        )
        assert item.predicate is not None
        return sum(counted) >= int(str(item.predicate.value)) if counted else None


def _declared(purpose: Purpose, world: World) -> Purpose:
    """The purpose, content with answers too."""
    policy = sorted(world.installation.catalogue.get(POLICY).fields)
    bills = sorted(world.installation.catalogue.get(BILL).fields)
    raw = purpose.model_dump(mode="json")
    most = {name: highest for name, (_, highest) in BOUNDS.items()}
    items = [
        {
            "record_type": BILL,
            "modes": ["predicate", "fields", "document"],
            "fields": bills,
            "predicates": {"paid_at_least": list(CONSTANTS)},
            "required": True,
        },
        {
            "record_type": POLICY,
            "modes": ["predicate", "document"],
            "fields": policy,
            "predicates": {"in_force": [], "generation_one_of": [["3", "4"]]},
            "required": False,
        },
    ]
    return Purpose.model_validate(
        raw
        | {
            "items": items,
            "caps": {"kind": "once", **most},
            "periodic_caps": {"kind": "periodic", "shortest_cycle_days": 7, **most},
        }
    )


@st.composite
def tightened(draw: st.DrawFn, purpose: Purpose) -> Purpose:
    """The purpose with one thing less: a lower bound, or without a field, a mode, a constant or an item."""
    raw = purpose.model_dump(mode="json")
    change: Callable[[st.DrawFn, dict[str, Any]], None] = draw(st.sampled_from(TIGHTENING))
    change(draw, raw)
    return Purpose.model_validate(raw)


def _lower(draw: st.DrawFn, raw: dict[str, Any]) -> None:
    caps = raw[draw(st.sampled_from(["caps", "periodic_caps"]))]
    name = draw(st.sampled_from(sorted(BOUNDS)))
    caps[name] = draw(st.integers(BOUNDS[name][0], caps[name]))


def _drop_field(draw: st.DrawFn, raw: dict[str, Any]) -> None:
    item = draw(st.sampled_from(raw["items"]))
    item["fields"] = [name for name in item["fields"] if draw(st.integers(0, 9)) < 8]


def _drop_mode(draw: st.DrawFn, raw: dict[str, Any]) -> None:
    item = draw(st.sampled_from(raw["items"]))
    if len(item["modes"]) > 1:
        item["modes"].remove(draw(st.sampled_from(item["modes"])))
    if "predicate" not in item["modes"]:
        item["predicates"] = {}


def _drop_constant(draw: st.DrawFn, raw: dict[str, Any]) -> None:
    values = (
        raw["items"][0]["predicates"].get("paid_at_least", [])
        if raw["items"][0]["record_type"] == BILL
        else []
    )
    if len(values) > 1:
        values.remove(draw(st.sampled_from(values)))


def _drop_item(draw: st.DrawFn, raw: dict[str, Any]) -> None:
    if len(raw["items"]) > 1 and draw(st.booleans()):
        raw["items"].pop()
    else:
        raw["items"][0]["required"] = False


TIGHTENING: Final = (_lower, _lower, _drop_field, _drop_mode, _drop_constant, _drop_item)


def _comes_back_as_it_was(terms: Terms) -> None:
    """Invariant 26."""
    canonical = terms.canonical()
    assert stored(canonical) == parse([json.loads(canonical)]) == terms
    assert stored(canonical).canonical() == canonical
    assert stored(canonical).digest() == terms.digest()


def _has_no_room_for_what_nobody_knows(terms: Terms, where: int) -> None:
    """Invariant 26: a member that nobody knows is refused, wherever it stands."""
    detail = terms.to_detail()
    paths = list(objects_in(detail))
    place: Any = detail
    for name in filter(None, paths[where % len(paths)].split(".")):
        place = place[int(name)] if isinstance(place, list) else place[name]
    place["nobody_knows"] = True
    assert not is_taken(lambda: parse([detail]))


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
