"""What time brings is put on record once; and what is swept is over."""

import threading
from datetime import datetime, timedelta

from sqlmodel import select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.duties import drain
from broker.jobs.expiry import end_overdue, sweep
from broker.oauth.models import Code, Interaction, PushedRequest, SeenJti, Token
from broker.web.signin.accounts import NewAccount, create_account
from broker.web.signin.models import AccountSession
from consent.auditing import events
from consent.models import Consent
from tests.api.conftest import Office
from tests.jobs.test_duties import shares, shares_out_of_reach

PATIENCE = 120
MOMENT = timedelta(microseconds=1)
REDELIVERY = timedelta(hours=24)


def state_of(office: Office, grant_id: str) -> str:
    with office.world.installation.data.read() as session:
        return session.get_one(Consent, grant_id).state


def logged(office: Office, kind: str) -> int:
    with office.world.installation.data.read() as session:
        return sum(event.type == kind for event in events(session, limit=200))


def window_ends(office: Office, grant_id: str) -> datetime:
    with office.world.installation.data.read() as session:
        return session.get_one(Consent, grant_id).valid_until


def delivered(office: Office) -> str:
    tokens = office.grant()
    assert office.pull(tokens["access_token"]).status_code == 200
    return str(tokens["grant_id"])


def test_before_its_time_nothing_ends(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    used_up, unused = delivered(office), office.grant()["grant_id"]
    clock.advance(REDELIVERY - MOMENT)
    assert end_overdue(installation, clock()) == 0
    assert (state_of(office, used_up), state_of(office, unused)) == ("GIVEN", "GIVEN")


def test_a_window_that_is_over_is_put_on_record_once(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    grant_id = office.grant()["grant_id"]
    assert shares(installation) == 1
    clock.now = window_ends(office, grant_id) - MOMENT
    assert end_overdue(installation, clock()) == 0
    clock.advance(MOMENT)
    assert [end_overdue(installation, clock()) for _ in range(2)] == [1, 0]
    assert (state_of(office, grant_id), shares(installation)) == ("EXPIRED", 0)
    assert logged(office, "consent.expired") == 1


def test_a_last_redelivery_window_that_is_over_is_put_on_record_once(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    grant_id = delivered(office)
    clock.advance(REDELIVERY)
    assert [end_overdue(installation, clock()) for _ in range(2)] == [1, 0]
    assert (state_of(office, grant_id), shares(installation)) == ("FULFILLED", 0)
    assert (logged(office, "consent.fulfilled"), logged(office, "consent.expired")) == (1, 0)


def test_both_at_once_is_one_end(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    grant_id = delivered(office)
    clock.now = window_ends(office, grant_id) + REDELIVERY
    assert end_overdue(installation, clock()) == 1
    assert (state_of(office, grant_id), logged(office, "consent.expired")) == ("FULFILLED", 0)


def test_what_has_ended_stays_as_it_ended(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    withdrawn, acknowledged = office.grant()["grant_id"], office.delivery()
    office.world.withdraw(withdrawn)
    assert office.say(f"/v1/deliveries/{acknowledged[0]}/ack").status_code == 200
    clock.advance(timedelta(days=100))
    assert end_overdue(installation, clock()) == 0
    assert (state_of(office, withdrawn), state_of(office, acknowledged[1])) == ("WITHDRAWN", "FULFILLED")


def test_workers_at_once_record_each_end_once(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    grants = [office.grant()["grant_id"] for _ in range(4)]
    clock.now = window_ends(office, grants[0])
    at_once = threading.Barrier(3)
    ended: list[int] = []

    def work_here() -> None:
        at_once.wait(PATIENCE)
        ended.append(end_overdue(installation, clock()))

    workers = [threading.Thread(target=work_here) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert (len(ended), sum(ended)) == (3, 4)
    assert logged(office, "consent.expired") == 4


def test_with_the_keyring_away_it_goes_on_record_and_the_shares_go_later(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    grants = [office.grant()["grant_id"] for _ in range(2)]
    clock.now = window_ends(office, grants[0])
    with shares_out_of_reach(installation):
        end_overdue(installation, clock())
    assert [state_of(office, grant_id) for grant_id in grants] == ["EXPIRED", "EXPIRED"]
    assert (shares(installation), end_overdue(installation, clock())) == (2, 0)
    drain(installation, clock())
    assert (shares(installation), logged(office, "consent.expired")) == (0, 2)


# Sweeping.


def test_only_what_is_over_is_swept(office: Office) -> None:
    installation, now = office.world.installation, office.world.clock()
    over, lately, living = now - timedelta(days=1, seconds=1), now - timedelta(hours=23), now + MOMENT
    _fill(installation, now, {"over": over, "lately": lately, "living": living})
    for _ in range(2):
        sweep(installation, now)
        with installation.data.read() as session:
            hashes = sorted(session.exec(select(Token.token_hash).where(Token.kind == "access")))
            codes = sorted(session.exec(select(Code.code_hash)))
            jtis = sorted(session.exec(select(SeenJti.jti_digest)))
            cookies = sorted(session.exec(select(AccountSession.session_digest)))
            interactions = sorted(session.exec(select(Interaction.interaction_id)))
            requests = sorted(session.exec(select(PushedRequest.request_id)))
        assert hashes == codes == cookies == [b"lately", b"living"]
        assert jtis == [b"living"]
        assert interactions == ["lately", "living", "read slowly"]
        # a request goes with the hour in which it is read, never before it
        assert requests == ["lately", "living", "read slowly", "unread lately", "unread living"]


def test_a_proofs_id_is_kept_as_long_as_the_proof_is_good(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    grant = office.grant()
    proof = office.world.insurer.proof("/token", iat=office.world.insurer.seconds + 60)
    assert office.world.insurer.refresh(grant["refresh_token"], proofs=[proof]).status_code == 200
    clock.advance(timedelta(seconds=119))
    sweep(installation, clock())
    again = office.world.insurer.refresh(grant["refresh_token"], proofs=[proof])
    assert again.json()["error"] == "invalid_dpop_proof"


def test_sweeping_ends_no_consent_and_no_living_token(office: Office) -> None:
    tokens = office.grant()
    sweep(office.world.installation, office.world.clock())
    assert office.pull(tokens["access_token"]).status_code == 200
    assert office.world.insurer.refresh(tokens["refresh_token"]).status_code == 200


def _fill(installation: Installation, now: datetime, ends: dict[str, datetime]) -> None:
    with transaction(installation.data) as work:
        session = work.session
        account_id = create_account(session, installation.keyring, NewAccount("auditor", "a", "x"), now)
        session.flush()
        for name, end in ends.items():
            session.add(SeenJti(jti_digest=name.encode(), expires_at=end))
            session.add(
                AccountSession(
                    session_digest=name.encode(),
                    account_id=account_id,
                    created_at=now,
                    last_seen_at=now,
                    expires_at=end,
                )
            )
            session.add(_token(name, now, end))
            session.add(_code(name, now, end))
            session.add(_request(name, now, end))
            session.add(_request(f"unread {name}", now, end))
            session.flush()
            session.add(_interaction(name, name, now, end))
        session.add(_request("read slowly", now, ends["over"]))
        session.flush()
        session.add(_interaction("read slowly", "read slowly", now, ends["living"]))


def _token(name: str, now: datetime, end: datetime) -> Token:
    return Token(
        token_hash=name.encode(),
        kind="access",
        client_id="insurer-claims",
        scope="deliveries",
        cnf="jkt:j",
        issued_at=now,
        expires_at=end,
    )


def _code(name: str, now: datetime, end: datetime) -> Code:
    return Code(
        code_hash=name.encode(),
        client_id="insurer-claims",
        subject_id="s",
        grant_id="g",
        version_id="g.1",
        redirect_uri="https://insurer.example",
        scope="records.read",
        code_challenge="c",
        created_at=now,
        expires_at=end,
    )


def _request(name: str, now: datetime, end: datetime) -> PushedRequest:
    return PushedRequest(
        request_id=name,
        uri_digest=name.encode(),
        client_id="insurer-claims",
        redirect_uri="https://insurer.example",
        scope="records.read",
        code_challenge="c",
        terms_sealed=b"sealed",
        created_at=now,
        expires_at=end,
    )


def _interaction(name: str, request_id: str, now: datetime, end: datetime) -> Interaction:
    return Interaction(
        interaction_id=name, request_id=request_id, client_id="insurer-claims", created_at=now, expires_at=end
    )
