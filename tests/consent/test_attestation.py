"""Attestations: only the recipient's own key over exactly what was delivered, and on record either way."""

from datetime import timedelta
from typing import Any

import pytest

from consent.attestation import AttestationRefused, Attested, open_attestation
from consent.disclosure import instant
from consent.errors import NotFoundError, WrongStateError
from consent.lifecycle import lock
from consent.obligations import settle_date
from consent.owed import attestation_of, obligation_of, obligations_to
from consent.vocabulary import AttestationFault, ObligationState
from tests.consent.keeping import ABSENT, Keeper
from tests.consent.office import RECIPIENT, Office
from vault.jose import generate_private_jwk

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def keeper(office: Office) -> Keeper:
    return Keeper(office)


@pytest.fixture
def sqlite_keeper(sqlite_office: Office) -> Keeper:
    """For what no database decides."""
    return Keeper(sqlite_office)


def withdrawn(keeper: Keeper) -> str:
    """A consent with two deliveries that the person has stopped."""
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    keeper.office.clock.advance(DAY)
    keeper.deliver(grant_id)
    keeper.office.clock.advance(DAY)
    keeper.office.withdraw(grant_id)
    return grant_id


def listed(keeper: Keeper, *states: ObligationState) -> list[str]:
    with keeper.office.installation.data.read() as session:
        found = obligations_to(session, RECIPIENT, states=states, limit=10)
    return [view.grant_id for view in found]


# Refused, and on record.


def refused_cases() -> list[tuple[AttestationFault, dict[str, Any]]]:
    fault = AttestationFault
    foreign = generate_private_jwk("ES256")
    return [
        (fault.MALFORMED, {"header": {"typ": "JWT"}}),
        (fault.MALFORMED, {"header": {"typ": ABSENT}}),
        (fault.MALFORMED, {"jti": ""}),
        (fault.MALFORMED, {"jti": ABSENT}),
        (fault.MALFORMED, {"iat": "now"}),
        (fault.MALFORMED, {"iat": 10**15}),
        (fault.MALFORMED, {"method": "trust us"}),
        (fault.MALFORMED, {"deleted_at": 1796083200}),
        (fault.MALFORMED, {"deliveries": "all"}),
        (fault.MALFORMED, {"remark": "one claim more"}),
        (fault.KEY_UNKNOWN, {"key": foreign}),
        (fault.KEY_UNKNOWN, {"header": {"kid": "another"}}),
        (fault.MISADDRESSED, {"iss": "somebody-else"}),
        (fault.MISADDRESSED, {"aud": "https://another.example"}),
        (fault.OF_ANOTHER, {"obligation_id": "another"}),
        (fault.OF_ANOTHER, {"grant_id": "another"}),
        (fault.DIGESTS_DIFFER, {"deliveries": []}),
        (fault.DIGESTS_DIFFER, {"deliveries": ["00" * 32]}),
    ]


@pytest.mark.parametrize(("fault", "changes"), refused_cases())
def test_what_is_not_right_is_refused_and_on_record(
    sqlite_keeper: Keeper, fault: AttestationFault, changes: dict[str, Any]
) -> None:
    refused(sqlite_keeper, fault, changes)


def refused(keeper: Keeper, fault: AttestationFault, changes: dict[str, Any]) -> None:
    grant_id = withdrawn(keeper)
    claims = {"key": keeper.key, "header": None} | changes
    answer = keeper.attest(grant_id, keeper.attestation(grant_id, **claims))
    assert answer == AttestationRefused(fault)
    assert keeper.view(grant_id).state is ObligationState.PENDING
    assert keeper.events(grant_id)[1:] == [("attestation.refused", fault)]


def test_another_key_is_refused_on_each_database(keeper: Keeper) -> None:
    refused(keeper, AttestationFault.KEY_UNKNOWN, {"key": generate_private_jwk("ES256")})


def test_one_digest_too_few_or_too_many_or_in_another_order_is_refused(sqlite_keeper: Keeper) -> None:
    keeper = sqlite_keeper
    grant_id = withdrawn(keeper)
    digests = sorted(one.payload_digest.hex() for one in keeper.view(grant_id).deliveries)
    for other in (digests[:1], [*digests, "ff" * 32], digests[::-1], [*digests, digests[1]]):
        answer = keeper.attest(grant_id, keeper.attestation(grant_id, deliveries=other))
        assert answer == AttestationRefused(AttestationFault.DIGESTS_DIFFER)


def test_times_that_cannot_be_are_refused(sqlite_keeper: Keeper) -> None:
    keeper = sqlite_keeper
    grant_id, now = withdrawn(keeper), keeper.office.clock()
    last = keeper.view(grant_id).deliveries[-1].as_of
    cases: dict[AttestationFault, list[dict[str, Any]]] = {
        AttestationFault.NOT_FRESH: [
            {"iat": int((now - 11 * MINUTE).timestamp())},
            {"iat": int((now + 2 * MINUTE).timestamp())},
        ],
        AttestationFault.TOO_EARLY: [{"deleted_at": instant(last - timedelta(microseconds=1))}],
        AttestationFault.IN_FUTURE: [{"deleted_at": instant(now + 2 * MINUTE)}],
    }
    for fault, changed in cases.items():
        for changes in changed:
            answer = keeper.attest(grant_id, keeper.attestation(grant_id, **changes))
            assert answer == AttestationRefused(fault)
    assert isinstance(
        keeper.attest(grant_id, keeper.attestation(grant_id, deleted_at=instant(last))), Attested
    )


@pytest.mark.parametrize("raw", ["", "not a token", "a.b.c", "e30.e30.", "é.é.é"])
def test_what_is_no_token_is_refused(sqlite_keeper: Keeper, raw: str) -> None:
    grant_id = withdrawn(sqlite_keeper)
    assert sqlite_keeper.attest(grant_id, raw) == AttestationRefused(AttestationFault.MALFORMED)


def test_another_recipients_obligation_is_as_unknown_and_leaves_no_trace(keeper: Keeper) -> None:
    grant_id = withdrawn(keeper)
    size = keeper.office.log_size()
    with pytest.raises(NotFoundError):
        keeper.attest(grant_id, recipient_id="another")
    assert keeper.office.log_size() == size
    with keeper.office.installation.data.read() as session:
        assert obligations_to(session, "another", limit=10) == []
        assert obligation_of(session, "somebody else", grant_id) is None
        assert attestation_of(session, keeper.office.keyring, "somebody else", grant_id) is None


# Accepted.


def test_the_recipients_word_over_what_was_delivered_closes_it(keeper: Keeper) -> None:
    grant_id = withdrawn(keeper)
    raw = keeper.attestation(grant_id)
    answer = keeper.attest(grant_id, raw)
    assert answer == Attested(
        keeper.row(grant_id).obligation_id, ObligationState.ATTESTED, keeper.office.clock(), is_repeated=False
    )
    assert keeper.events(grant_id)[1:] == [("obligation.attested", "withdrawn")]
    with keeper.office.installation.data.read() as session:
        opened = attestation_of(session, keeper.office.keyring, keeper.office.subject_id, grant_id)
    assert opened is not None
    assert (opened.jws, opened.deliveries, opened.method) == (raw, 2, "erased")
    assert opened.deleted_at == keeper.office.clock()
    assert raw.encode() not in (keeper.row(grant_id).attestation_sealed or b"")
    # Time changes nothing any more.
    keeper.wait(grant_id, 5)
    assert keeper.view(grant_id).state is ObligationState.ATTESTED


def test_without_an_attestation_there_is_none_to_open(sqlite_keeper: Keeper) -> None:
    row = sqlite_keeper.row(withdrawn(sqlite_keeper))
    assert open_attestation(sqlite_keeper.office.keyring, row) is None


@pytest.mark.parametrize("kind", ["PS256", "Ed25519"])
def test_every_kind_of_key_that_a_client_may_register_will_do(sqlite_office: Office, kind: Any) -> None:  # noqa: ANN401 - a case
    keeper = Keeper(sqlite_office, generate_private_jwk(kind))
    grant_id = withdrawn(keeper)
    assert isinstance(keeper.attest(grant_id), Attested)


def test_the_same_again_or_a_fresh_one_changes_nothing(keeper: Keeper) -> None:
    grant_id = withdrawn(keeper)
    raw = keeper.attestation(grant_id)
    first = keeper.attest(grant_id, raw)
    size = keeper.office.log_size()
    keeper.office.clock.advance(DAY)  # long after it was fresh
    again, fresh = keeper.attest(grant_id, raw), keeper.attest(grant_id)
    assert isinstance(first, Attested)
    for answer in (again, fresh):
        assert isinstance(answer, Attested)
        assert (answer.attested_at, answer.is_repeated) == (first.attested_at, True)
    assert keeper.office.log_size() == size


def test_late_is_better_than_never(sqlite_keeper: Keeper) -> None:
    grant_id = withdrawn(sqlite_keeper)
    sqlite_keeper.wait(grant_id, 4)
    assert listed(sqlite_keeper, ObligationState.OVERDUE) == [grant_id]
    assert isinstance(sqlite_keeper.attest(grant_id), Attested)
    assert listed(sqlite_keeper, ObligationState.OVERDUE) == []
    assert listed(sqlite_keeper, ObligationState.ATTESTED) == [grant_id]


def test_who_deletes_early_may_say_so_and_owes_anew_after_another_delivery(keeper: Keeper) -> None:
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    raw = keeper.attestation(grant_id)
    assert isinstance(keeper.attest(grant_id, raw), Attested)
    assert keeper.office.consent(grant_id).state == "GIVEN"
    keeper.wait(grant_id, 2)
    assert listed(keeper, ObligationState.ATTESTED) == [grant_id]
    keeper.deliver(grant_id)
    assert keeper.view(grant_id).state is ObligationState.PENDING
    assert keeper.view(grant_id).attested_at is None
    assert listed(keeper, ObligationState.ATTESTED) == []
    assert listed(keeper, ObligationState.PENDING, ObligationState.OVERDUE) == [grant_id]
    # What was said then does not cover it.
    assert isinstance(keeper.attest(grant_id, raw), AttestationRefused)
    keeper.wait(grant_id, 87)
    assert keeper.row(grant_id).cause == "retention_over"
    keeper.office.withdraw(grant_id)
    assert keeper.view(grant_id).state is ObligationState.PENDING
    assert isinstance(keeper.attest(grant_id), Attested)
    assert [event for event, _ in keeper.events(grant_id)] == [
        "obligation.attested",
        "attestation.refused",
        "obligation.due",
        "obligation.due",
        "obligation.attested",
    ]


def test_what_was_deleted_before_the_end_is_not_owed_at_the_end(sqlite_keeper: Keeper) -> None:
    grant_id = sqlite_keeper.agree()
    sqlite_keeper.deliver(grant_id)
    sqlite_keeper.attest(grant_id)
    sqlite_keeper.office.withdraw(grant_id)
    assert sqlite_keeper.view(grant_id).state is ObligationState.ATTESTED
    assert sqlite_keeper.row(grant_id).check_at is None
    assert [event for event, _ in sqlite_keeper.events(grant_id)] == ["obligation.attested"]


# Disputed.


def test_only_the_person_may_dispute_and_only_what_was_attested(keeper: Keeper) -> None:
    nothing = keeper.agree()
    with pytest.raises(NotFoundError):
        keeper.dispute(nothing)
    grant_id = withdrawn(keeper)
    with pytest.raises(WrongStateError):
        keeper.dispute(grant_id)
    raw = keeper.attestation(grant_id)
    keeper.attest(grant_id, raw)
    with pytest.raises(NotFoundError):
        keeper.dispute(grant_id, "somebody else")
    for _ in range(2):
        keeper.dispute(grant_id)
    view = keeper.view(grant_id)
    assert (view.state, view.disputed_at) == (ObligationState.DISPUTED, keeper.office.clock())
    assert [event for event, _ in keeper.events(grant_id)].count("obligation.disputed") == 1
    # The same word again does not answer it, another one does.
    answer = keeper.attest(grant_id, raw)
    assert isinstance(answer, Attested)
    assert answer.state is ObligationState.DISPUTED
    keeper.office.clock.advance(MINUTE)
    assert isinstance(keeper.attest(grant_id), Attested)
    assert keeper.view(grant_id).state is ObligationState.ATTESTED
    assert keeper.view(grant_id).disputed_at is None


def test_a_dispute_covers_no_later_delivery(keeper: Keeper) -> None:
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    keeper.attest(grant_id)
    keeper.dispute(grant_id)
    assert listed(keeper, ObligationState.DISPUTED) == [grant_id]
    for _ in range(2):
        keeper.office.clock.advance(DAY)
        keeper.deliver(grant_id)
    assert keeper.view(grant_id).state is ObligationState.PENDING
    assert listed(keeper, ObligationState.DISPUTED) == []
    assert listed(keeper, ObligationState.PENDING) == [grant_id]
    with pytest.raises(WrongStateError):  # what was attested is not what it has now
        keeper.dispute(grant_id)
    keeper.office.withdraw(grant_id)
    due_at = keeper.office.clock() + 3 * DAY
    assert (keeper.row(grant_id).state, keeper.row(grant_id).due_at) == (ObligationState.PENDING, due_at)
    keeper.wait(grant_id, 4)
    assert keeper.view(grant_id).state is ObligationState.OVERDUE
    assert keeper.events(grant_id)[-2:] == [
        ("obligation.due", "withdrawn"),
        ("obligation.overdue", "withdrawn"),
    ]


def test_while_the_consent_goes_on_a_doubted_obligation_is_looked_at(sqlite_keeper: Keeper) -> None:
    keeper = sqlite_keeper
    grant_id = keeper.agree()
    keeper.deliver(grant_id, days=10)
    keeper.attest(grant_id)
    keeper.dispute(grant_id)
    keeper.wait(grant_id, 2)
    assert keeper.view(grant_id).state is ObligationState.DISPUTED
    keeper.deliver(grant_id, days=10)
    keeper.wait(grant_id, 10)
    assert keeper.view(grant_id).state is ObligationState.OVERDUE
    assert keeper.events(grant_id)[-1] == ("obligation.overdue", "retention_over")


def test_what_is_doubted_at_the_end_has_its_date_and_no_second_event(sqlite_keeper: Keeper) -> None:
    keeper = sqlite_keeper
    grant_id = keeper.agree()
    keeper.deliver(grant_id)
    keeper.attest(grant_id)
    keeper.dispute(grant_id)
    keeper.office.withdraw(grant_id)
    row = keeper.row(grant_id)
    assert (row.state, row.cause) == (ObligationState.DISPUTED, "withdrawn")
    assert (row.due_at, row.check_at) == (keeper.office.clock() + 3 * DAY, None)
    assert "obligation.due" not in [event for event, _ in keeper.events(grant_id)]


def test_a_delivery_at_the_very_moment_of_the_end_opens_what_was_attested_after_it(
    sqlite_keeper: Keeper,
) -> None:
    """The date is the same, and was on record: it must be asked for again all the same."""
    keeper, office = sqlite_keeper, sqlite_keeper.office
    grant_id = withdrawn(keeper)
    keeper.attest(grant_id)
    keeper.deliver(grant_id)
    with office.work() as work:
        settle_date(work, office.keyring, lock(work, grant_id), office.clock())
    assert keeper.row(grant_id).state == ObligationState.PENDING
    keeper.wait(grant_id, 4)
    assert keeper.view(grant_id).state is ObligationState.OVERDUE


# Lists.


def test_a_list_goes_on_where_the_last_page_ended(keeper: Keeper) -> None:
    grants = {withdrawn(keeper) for _ in range(3)}
    seen: list[str] = []
    after = ""
    with keeper.office.installation.data.read() as session:
        while page := obligations_to(session, None, after=after, limit=2):
            seen += [view.grant_id for view in page]
            after = page[-1].obligation_id
    assert set(seen) == grants
    assert len(seen) == len(grants)
