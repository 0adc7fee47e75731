"""Tokens and keys that are over, a broker that is away, deaths: nothing is lost and nothing doubled."""

import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import orjson
import pytest

from broker.demo.processes import free_port
from connectors.errors import UnreachableError
from connectors.http import Answer
from connectors.services.indemnity.recipient.__main__ import _work
from connectors.services.indemnity.recipient.database import InsurerDatabase
from connectors.services.indemnity.recipient.store import Store
from connectors.services.relying_party.broker_client import BrokerClient
from connectors.services.relying_party.deleting import Deletion
from tests.connectors.services.indemnity.recipient.conftest import BrokerInPlace, set_up
from tests.connectors.services.indemnity.recipient.watch import (
    MEDIA_TYPE,
    PATIENCE,
    PULL,
    Watch,
    _changed,
    _lost,
    _page_of,
    eventually,
    grants,
)

# Tokens and keys that are over, a broker that is away, deaths.


def test_a_token_of_an_older_version_of_the_consent_is_refreshed(watch: Watch) -> None:
    number, refused = watch.visit(), count()
    watch.is_told()
    watch.insurer.wire.tap = lambda path, answer: (
        Answer(401, {}, b'{"code": "consent_superseded"}') if path == PULL and next(refused) == 0 else answer
    )
    watch.works()
    assert (watch.pulls()[1].state, len(watch.claims_of(number))) == ("closed", 1)


@pytest.mark.parametrize("rubbish", [{}, {"nonce": 1}, {"nonce": "*"}, {"records": 2**60}])
def test_a_payload_that_is_damaged_is_not_claimed_and_asked_for_again(
    watch: Watch, rubbish: dict[str, object]
) -> None:
    number = watch.visit()
    watch.is_told()
    watch.insurer.wire.tap = lambda path, answer: (
        answer if path != PULL else _changed(answer, **rubbish) if rubbish else Answer(200, {}, b"{}")
    )
    for _ in range(3):
        watch.works()
        watch.waits(minutes=1)
    case = watch.pulls()[1]
    assert (case.state, case.records, watch.claims_of(number)) == ("granted", {}, [])
    watch.insurer.wire.tap = lambda _, answer: answer
    watch.works()
    assert (watch.pulls()[1].state, len(watch.claims_of(number))) == ("closed", 1)


def test_a_stale_access_token_is_refreshed(watch: Watch) -> None:
    before = watch.insurer.case(watch.case_id)
    number = watch.visit()
    watch.waits(hours=2)
    assert watch.is_told() == 1
    watch.works()
    assert len(watch.claims_of(number)) == 1
    after = watch.insurer.case(watch.case_id)
    assert after.access_token != before.access_token
    assert (after.state, after.refresh_token) == ("standing", before.refresh_token)


def test_a_case_without_a_refresh_token_ends_with_its_access_token(
    broker: BrokerInPlace, tmp_path: Path
) -> None:
    insurer = set_up(broker, tmp_path)
    case_id, came = insurer.agreed()

    def away(path: str, answer: Answer) -> Answer:
        if path == PULL:
            raise UnreachableError("127.0.0.1")
        return _changed(answer, refresh_token=None) if path == "/token" else answer

    insurer.wire.tap = away
    insurer.comes_back(came)
    assert insurer.case(case_id).state == "granted"
    insurer.wire.tap = lambda _, answer: answer
    broker.clock.advance(timedelta(hours=2))
    insurer.desk.work()
    assert (insurer.case(case_id).state, insurer.case(case_id).refusal) == ("refused", "token_expired")


def test_a_key_that_answers_no_more_is_replaced(watch: Watch) -> None:
    """The answer of a pull is lost, and the insurer is down for longer than the broker repeats it."""
    number = watch.visit()
    watch.is_told()
    watch.insurer.wire.tap = _lost(PULL)
    watch.works()
    watch.insurer.wire.tap = lambda _, answer: answer
    lost = watch.pulls()[1]
    assert (lost.state, lost.key_number) == ("granted", 1)
    watch.waits(hours=25)
    watch.works()
    case = watch.pulls()[1]
    assert (case.state, case.key_number, case.delivery_key == lost.delivery_key) == ("closed", 2, False)
    assert len(watch.claims_of(number)) == 1


def test_keys_are_not_replaced_for_ever(watch: Watch) -> None:
    watch.visit()
    watch.is_told()
    watch.insurer.wire.tap = lambda path, answer: (
        Answer(403, {}, b'{"code": "outside_window"}') if path == PULL else answer
    )
    asked = watch.insurer.wire.asked.count(PULL)
    watch.works()
    case = watch.pulls()[1]
    assert (case.state, case.refusal, case.key_number) == ("refused", "outside_window", 10)
    assert watch.insurer.wire.asked.count(PULL) == asked + 10


@pytest.mark.parametrize("lost_at", [PULL, "/decision", "/ack", "/token"])
@pytest.mark.parametrize(
    "how",
    [
        "not heard",
        *(
            pytest.param(how, marks=pytest.mark.slow)
            for how in ("not asked", "overloaded", "rubbish", "empty")
        ),
    ],
)
def test_a_broker_that_is_away_is_asked_again(watch: Watch, lost_at: str, how: str) -> None:
    number = watch.visit()
    watch.waits(hours=2)  # the access token is stale: the token endpoint is one of the steps
    watch.is_told()
    passes = watch.insurer.wire.request

    def away(method: str, url: str, **more: Any) -> Answer:  # noqa: ANN401 - as they came
        if not url.endswith(lost_at):
            return passes(method, url, **more)
        if how == "not heard":
            passes(method, url, **more)
        if how == "overloaded":
            return Answer(503, {}, b"")
        if how == "rubbish":
            return Answer(200, {}, b"<html>Sign in to this network")
        if how == "empty":
            return Answer(200, {}, b"{}" if lost_at != "/ack" else b"[]")
        raise UnreachableError("127.0.0.1")

    watch.insurer.wire.request = away  # type: ignore[method-assign]  # the wire is cut here, and mended below
    for _ in range(3):
        watch.works()
        watch.waits(seconds=30)
    assert watch.pulls()[1].state in {"granted", "filed", "decided"}
    watch.insurer.wire.request = passes  # type: ignore[method-assign]
    watch.works()
    assert (watch.pulls()[1].state, len(watch.claims_of(number))) == ("closed", 1)
    assert len(watch.decisions(watch.pulls()[1])) == 1


def test_a_case_that_is_held_up_waits_longer_each_time(watch: Watch) -> None:
    watch.visit()
    watch.is_told()
    asked = watch.insurer.wire.asked.count
    watch.insurer.wire.tap = lambda path, answer: Answer(503, {}, b"") if path == PULL else answer
    before = asked(PULL)
    for _ in range(600):
        watch.works()
        watch.waits(seconds=1)
    assert 5 < asked(PULL) - before < 15
    watch.insurer.wire.tap = lambda _, answer: answer
    watch.waits(minutes=10)
    watch.works()
    assert watch.pulls()[1].state == "closed"


def test_another_case_does_not_wait_with_one_that_is_held_up(watch: Watch) -> None:
    watch.visit()
    watch.is_told()
    watch.insurer.wire.tap = lambda path, answer: Answer(503, {}, b"") if path == PULL else answer
    watch.works()
    watch.insurer.wire.tap = lambda _, answer: answer
    assert watch.posts(watch.event("the next one")).status_code == 202
    watch.works()
    assert [case.state for case in watch.pulls()] == ["closed", "granted", "closed"]


@pytest.mark.parametrize(
    ("dies", "state", "refusal"),
    # A code is good once (RFC 6749 section 4.1.2): if the broker had it, the person has to begin again.
    [("before the code was sent", "standing", None), ("afterwards", "refused", "invalid_grant")],
)
def test_after_a_death_while_redeeming_the_browser_may_try_again(
    broker: BrokerInPlace, tmp_path: Path, dies: str, state: str, refusal: str | None
) -> None:
    insurer, before = set_up(broker, tmp_path), grants(broker)
    case_id, came = insurer.agreed(access="periodic")
    (grant_id,) = grants(broker) - before
    passes = insurer.wire.request

    def dying(method: str, url: str, **more: Any) -> Answer:  # noqa: ANN401 - as they came
        if dies == "afterwards":
            passes(method, url, **more)
        raise KeyboardInterrupt

    insurer.wire.request = dying  # type: ignore[method-assign]  # the process ends here
    with pytest.raises(KeyboardInterrupt):
        insurer.desk.come_back(came["state"], came["iss"], browser=None, code=came["code"])
    insurer.wire.request = passes  # type: ignore[method-assign]
    insurer.comes_back(came)
    assert insurer.case(case_id).state == "redeeming"  # nobody knows yet that the other is dead
    insurer.store.recover()
    assert insurer.case(case_id).state == "asked"
    insurer.comes_back(came)
    case = insurer.case(case_id)
    Watch(broker, insurer, case_id, grant_id).person("withdraw")
    assert (case.state, case.refusal) == (state, refusal)


def test_the_clerk_goes_on_after_a_fault_of_the_database(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    number, stop = watch.visit(), Event()
    watch.is_told()
    connection = sqlite3.connect(watch.insurer.configuration.store, isolation_level=None)
    connection.execute("ALTER TABLE event RENAME TO away")
    broker = BrokerClient(watch.insurer.configuration, watch.insurer.wire)
    deletion = Deletion(broker, watch.insurer.store, watch.broker.clock)
    clerk = Thread(target=_work, args=(stop, watch.insurer.inbox, watch.insurer.desk, deletion))
    clerk.start()
    try:
        assert eventually(lambda: "clerk waits: SQLITE_ERROR" in caplog.text)
        connection.execute("ALTER TABLE away RENAME TO event")
        assert eventually(lambda: len(watch.pulls()) == 2 and watch.pulls()[1].state == "closed")
    finally:
        stop.set()
        clerk.join(PATIENCE)
        connection.close()
    assert not clerk.is_alive()
    assert len(watch.claims_of(number)) == 1


def test_it_runs_as_a_process_and_ends_when_told(broker: BrokerInPlace, tmp_path: Path) -> None:
    folder = broker.demo.insurer_config.parent
    told = orjson.loads(broker.demo.insurer_config.read_bytes())
    port = free_port()
    told |= {"port": port, "store": str(tmp_path / "insurer.db")}
    told |= {name: str(folder / told[name]) for name in ("private_jwks", "proof_jwks")}
    (tmp_path / "config.json").write_bytes(orjson.dumps(told))
    dead = Store(InsurerDatabase(tmp_path / "insurer.db"))
    dead.open_case("died", "state", "verifier")
    assert dead.begin_redeeming("died")
    module = "connectors.services.indemnity.recipient"
    arguments = [sys.executable, "-m", module, str(tmp_path / "config.json")]
    with subprocess.Popen(arguments) as process:
        try:
            assert eventually(lambda: _page_of(port))
            case = dead.case("died")
            assert case is not None
            assert case.state == "asked"
            # There is no broker at its address: an event may come again.
            answer = httpx.post(
                f"http://127.0.0.1:{port}/events",
                content=b"e30.e30.e30",
                headers={"Content-Type": MEDIA_TYPE},
                timeout=PATIENCE,
            )
            assert answer.status_code == 503
        finally:
            process.terminate()
        process.wait(PATIENCE)
    assert process.returncode in {0, -signal.SIGTERM}
