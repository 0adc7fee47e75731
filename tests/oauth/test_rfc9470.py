"""RFC 9470: a pull is challenged, the person signs in again, and the same consent goes on."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from httpx import Response
from sqlmodel import select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.claiming import end_unclaimed
from broker.oauth.models import Token
from broker.oauth.tokens import hash_of
from consent.dossier import subject_handle, timeline_of
from consent.lifecycle import withdraw
from consent.models import Consent, ConsentVersion, Delivery
from consent.reading import consent_of
from consent.vocabulary import ConsentState, EventType
from tests.configured import configured
from tests.installation import Clock
from tests.oauth.asking import Asking
from tests.oauth.openid_world import OpenIDWorld, build
from tests.oauth.world import LEFT_OUT, access_token_hash, answer_in, refused
from tests.web.stage import Form, text_of
from tests.web.test_recognise_page import acts_for_haneul

CODE: Final = "insufficient_user_authentication"
ACR: Final = "urn:mydata:acr:1fa"
STRONGER: Final = "urn:mydata:acr:2fa"
AGE: Final = timedelta(seconds=300)


@pytest.fixture
def world(installation: Installation, clock: Clock) -> Iterator[OpenIDWorld]:
    """A broker that wants a sign-in of the last five minutes, on each kind of database."""
    yield from build(configured(installation, "oauth", step_up_seconds=300), clock)


@pytest.fixture
def small(sqlite_installation: Installation, clock: Clock) -> Iterator[OpenIDWorld]:
    """The same on SQLite only."""
    yield from build(configured(sqlite_installation, "oauth", step_up_seconds=300), clock)


def granted(world: OpenIDWorld, **changes: object) -> dict[str, Any]:
    """The token answer for a consent that the person gave just now."""
    world.sign_in()
    asked: dict[str, Any] = {"scope": "records.read"}
    return world.redeemed(world.decide(world.arrive(world.push_records(**(asked | changes)))))


def renewal(world: OpenIDWorld, grant_id: str, /, **changes: object) -> Response:
    """Push a request for a later sign-in for a grant that stands, and for nothing else."""
    asked: dict[str, Any] = {
        "grant_id": grant_id,
        "grant_management_action": "merge",
        "authorization_details": LEFT_OUT,
        "scope": "records.read",
        "max_age": "300",
    }
    return world.insurer.push(**(asked | changes))


def opened(world: OpenIDWorld, grant_id: str, **changes: object) -> str:
    """Such a request as the signed-in person has opened it: its path, after a sign-in if it wants one."""
    path = world.arrive(renewal(world, grant_id, **changes))
    page = world.browser.get(path)
    if page.status_code == 303:
        world.sign_in(page=page.headers["Location"])
    return path


def pull(world: OpenIDWorld, tokens: dict[str, Any]) -> Response:
    token = tokens["access_token"]
    proof = world.insurer.proof("/v1/records", htm="GET", ath=access_token_hash(token))
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    return world.insurer.http.get("/v1/records", headers=headers)


def challenge(answer: Response) -> dict[str, str]:
    """The parameters of a challenge, read as RFC 9110 section 11.6.1 has them."""
    scheme, _, parameters = answer.headers["WWW-Authenticate"].partition(" ")
    assert scheme == "DPoP"
    return dict(re.findall(r'(\w+)="([^"]*)"', parameters))


def refreshed(world: OpenIDWorld, tokens: dict[str, Any]) -> dict[str, Any]:
    answer = world.insurer.refresh(tokens["refresh_token"])
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def introspected(world: OpenIDWorld, token: str) -> dict[str, Any]:
    answer = world.insurer.introspect(token)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def count(world: OpenIDWorld, table: type[Consent | ConsentVersion | Delivery]) -> int:
    with world.installation.data.read() as session:
        return len(session.exec(select(table)).all())


def recognitions(world: OpenIDWorld) -> list[str]:
    """What the person's own record says of who was let know who they are."""
    keyring = world.installation.keyring
    handle = subject_handle(keyring, world.subject_id)
    with world.installation.data.read() as session:
        return [entry["type"] for entry in timeline_of(session, keyring, world.subject_id, [handle])]


# The whole way


def test_from_the_challenge_to_the_records(world: OpenIDWorld) -> None:
    tokens = granted(world)
    first = introspected(world, tokens["access_token"])
    world.clock.advance(AGE + timedelta(seconds=1))
    old = refreshed(world, tokens)  # refreshing makes no sign-in later

    answer = pull(world, old)
    assert (answer.status_code, answer.json()["code"]) == (401, CODE)
    wanted = challenge(answer)
    assert (wanted["error"], wanted["max_age"]) == (CODE, "300")
    assert count(world, Delivery) == 0

    path = world.arrive(renewal(world, tokens["grant_id"], max_age=wanted["max_age"]))
    assert path.startswith("/ko/confirm/")
    led = world.browser.get(path)
    assert (led.status_code, "again=1" in led.headers["Location"]) == (303, True)
    assert world.sign_in(page=led.headers["Location"]).headers["Location"] == path
    signed_in_at = int(world.clock().timestamp())
    fresh = world.redeemed(world.decide(path))

    assert fresh["grant_id"] == tokens["grant_id"]
    assert fresh["authorization_details"] == tokens["authorization_details"]
    second = introspected(world, fresh["access_token"])
    assert (second["auth_time"], second["acr"]) == (signed_in_at, ACR)
    assert second["auth_time"] > first["auth_time"]
    assert pull(world, fresh).status_code == 200
    # One consent, in the version that was asked for and the one that was given: nothing was agreed to anew.
    assert (count(world, Consent), count(world, ConsentVersion), count(world, Delivery)) == (1, 2, 1)
    with world.installation.data.read() as session:
        view = consent_of(
            session, world.installation.keyring, world.subject_id, tokens["grant_id"], world.clock()
        )
    assert [event.type for event in view.timeline][-2:] == ["delivery.refused", "delivery.released"]
    assert "본인이 최근에 로그인하지 않았어요" in text_of(
        world.browser.get(f"/ko/consents/{tokens['grant_id']}").text
    )


def test_each_refresh_token_keeps_the_sign_in_that_it_came_of(world: OpenIDWorld) -> None:
    tokens = granted(world)
    before = introspected(world, tokens["refresh_token"])["auth_time"]
    world.clock.advance(AGE + timedelta(seconds=1))
    fresh = world.redeemed(world.decide(opened(world, tokens["grant_id"])))
    after = introspected(world, fresh["refresh_token"])["auth_time"]
    assert after > before
    for held, auth_time in ((tokens, before), (fresh, after)):
        again = refreshed(world, held)
        assert introspected(world, again["access_token"])["auth_time"] == auth_time
    assert pull(world, refreshed(world, tokens)).json()["code"] == CODE
    assert pull(world, refreshed(world, fresh)).status_code == 200


# What is told of a sign-in


def test_introspection_tells_of_the_sign_in_that_there_was(small: OpenIDWorld) -> None:
    tokens = granted(small)
    at = int(small.clock().timestamp())
    for name in ("access_token", "refresh_token"):
        told = introspected(small, tokens[name])
        assert (told["auth_time"], told["acr"]) == (at, ACR)
    own = small.insurer.own_token(scope="deliveries").json()["access_token"]
    assert {"auth_time", "acr"}.isdisjoint(introspected(small, own))
    assert small.stranger.introspect(tokens["access_token"]).json() == {"active": False}


def test_metadata_name_the_classes_that_there_are(small: OpenIDWorld) -> None:
    for name in ("oauth-authorization-server", "openid-configuration"):
        document = small.insurer.http.get(f"/.well-known/{name}").json()
        assert document["acr_values_supported"] == [ACR]


# What a request for records can ask of the sign-in


@pytest.mark.parametrize("demand", [{"max_age": "0"}, {"max_age": "60"}, {"prompt": "login"}])
def test_a_request_for_records_honours_max_age_and_prompt(small: OpenIDWorld, demand: dict[str, str]) -> None:
    small.sign_in()
    small.clock.advance(timedelta(seconds=61))
    path = small.arrive(small.push_records(scope="records.read", **demand))
    led = small.browser.get(path)
    assert (led.status_code, "again=1" in led.headers["Location"]) == (303, True)
    small.sign_in(page=led.headers["Location"])
    tokens = small.redeemed(small.decide(path))
    auth_time = introspected(small, tokens["access_token"])["auth_time"]
    assert auth_time == int(small.clock().timestamp())


def test_a_class_that_nobody_reaches_is_told_at_once(small: OpenIDWorld) -> None:
    """Section 5: otherwise its client would come again and again with tokens that do not do."""
    grant_id = granted(small)["grant_id"]
    for pushed in (
        renewal(small, grant_id, acr_values=STRONGER),
        small.push_records(acr_values=f"{STRONGER} other"),
    ):
        answer = answer_in(small.arrive(pushed))
        assert answer["error"] == "unmet_authentication_requirements"
    for pushed in (
        renewal(small, grant_id, acr_values=f"{STRONGER} {ACR}"),
        small.push_records(acr_values=ACR),
        small.push(acr_values=STRONGER),  # for a sign-in alone it is a wish
    ):
        assert small.browser.get(small.arrive(pushed)).status_code == 200


# A later sign-in for what stands: refused at the push


def test_the_grant_must_be_a_living_one_of_the_client(small: OpenIDWorld) -> None:
    grant_id = granted(small)["grant_id"]
    assert refused(renewal(small, "unknown"), "invalid_grant_id")
    assert refused(
        renewal(small, grant_id, grant_management_action="replace"), "invalid_authorization_details"
    )
    assert refused(
        renewal(small, grant_id, grant_management_action=LEFT_OUT), "invalid_authorization_details"
    )
    assert refused(renewal(small, grant_id, deal_invitation="x"), "invalid_authorization_details")
    assert refused(renewal(small, grant_id, scope="openid"), "invalid_authorization_details")
    assert refused(renewal(small, grant_id, grant_id=LEFT_OUT), "invalid_request")
    assert refused(small.stranger.push(**asked_by_stranger(grant_id)), "invalid_authorization_details")
    with transaction(small.installation.data) as work:
        withdraw(work, small.installation.keyring, grant_id, small.subject_id, small.clock())
    assert refused(renewal(small, grant_id), "invalid_grant_id")


def asked_by_stranger(grant_id: str) -> dict[str, Any]:
    action = {"grant_id": grant_id, "grant_management_action": "merge"}
    return action | {"scope": "openid", "authorization_details": LEFT_OUT}


# … and on its page


def test_nobody_confirms_what_another_person_agreed_to(world: OpenIDWorld) -> None:
    tokens = granted(world)
    world.sign_in("jeongsuk")
    path = world.arrive(renewal(world, tokens["grant_id"]))
    fields = Form(world.browser.get("/ko/rights").text).fields | {"decision": "allow"}
    answer = world.browser.post(path, data=fields)
    assert answer.status_code == 409
    address = re.search(r'id="return" href="([^"]+)"', answer.text)
    assert address is not None
    told = answer_in(address[1].replace("&amp;", "&"))
    assert (told["error"], "code" in told) == ("invalid_grant_id", False)
    assert "확인할 것이 없어요" in text_of(answer.text)
    assert world.browser.get(path).status_code == 410  # one answer to one request


def test_what_has_ended_since_the_push_is_not_confirmed(small: OpenIDWorld) -> None:
    tokens = granted(small)
    path = opened(small, tokens["grant_id"])
    with transaction(small.installation.data) as work:
        withdraw(work, small.installation.keyring, tokens["grant_id"], small.subject_id, small.clock())
    page = small.browser.get(path)
    assert (page.status_code, "error=invalid_grant_id" in page.text) == (409, True)


def test_what_is_withdrawn_after_the_answer_gives_no_token(small: OpenIDWorld) -> None:
    tokens = granted(small)
    code = answer_in(small.decide(opened(small, tokens["grant_id"])))["code"]
    with transaction(small.installation.data) as work:
        withdraw(work, small.installation.keyring, tokens["grant_id"], small.subject_id, small.clock())
    assert refused(small.insurer.redeem(code), "invalid_grant")


def test_who_does_not_confirm_changes_nothing(small: OpenIDWorld) -> None:
    tokens = granted(small)
    answer = answer_in(small.decide(opened(small, tokens["grant_id"]), "deny"))
    assert (answer["error"], "code" in answer) == ("access_denied", False)
    assert pull(small, tokens).status_code == 200


def test_nobody_confirms_for_another(small: OpenIDWorld) -> None:
    grant_id = granted(small)["grant_id"]
    acts_for_haneul(small)
    path = small.arrive(renewal(small, grant_id, max_age=LEFT_OUT))
    assert small.browser.get(path).status_code == 403


def test_the_form_of_another_site_and_what_is_no_decision(small: OpenIDWorld) -> None:
    path = opened(small, granted(small)["grant_id"])
    fields = Form(small.browser.get(path).text).fields
    foreign = small.browser.post(
        path, data=fields | {"decision": "allow"}, headers={"Origin": "https://evil.example"}
    )
    assert foreign.status_code == 403
    for decision in ("", "ALLOW", "show"):
        assert small.browser.post(path, data=fields | {"decision": decision}).status_code == 400
    assert "code" in answer_in(small.decide(path))


def test_each_request_has_one_page(small: OpenIDWorld) -> None:
    grant_id = granted(small)["grant_id"]
    confirm = opened(small, grant_id)
    consent, alone = small.arrive(small.push_records()), small.arrive(small.push())
    for path in (
        confirm.replace("confirm", "consent"),
        confirm.replace("confirm", "recognise"),
        consent.replace("consent", "confirm"),
        alone.replace("recognise", "confirm"),
        "/ko/confirm/unknown",
    ):
        assert small.browser.get(path).status_code == 410, path
        assert small.browser.post(path, data={"decision": "allow"}).status_code == 410, path
    assert small.browser.get(confirm).status_code == 200


def test_a_request_is_of_the_person_who_opened_it(small: OpenIDWorld) -> None:
    path = opened(small, granted(small)["grant_id"])
    assert small.browser.get(path).status_code == 200
    small.sign_in("jeongsuk")
    assert small.browser.get(path).status_code == 410


def test_the_same_form_twice_leads_to_the_same_place_until_the_code_is_used(small: OpenIDWorld) -> None:
    path = opened(small, granted(small)["grant_id"])
    fields = Form(small.browser.get(path).text).fields | {"decision": "allow"}
    first, second = (small.browser.post(path, data=fields) for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"]
    small.redeemed(first.headers["Location"])
    assert small.browser.post(path, data=fields).status_code == 410


def test_without_a_page_it_is_the_persons_to_decide(small: OpenIDWorld) -> None:
    grant_id = granted(small)["grant_id"]
    told = answer_in(small.arrive(renewal(small, grant_id, prompt="none")))
    assert told["error"] == "interaction_required"
    small.clock.advance(AGE + timedelta(seconds=1))
    told = answer_in(small.arrive(renewal(small, grant_id, prompt="none")))
    assert told["error"] == "login_required"


def test_the_page_says_that_nothing_is_added_and_what_is_learned(small: OpenIDWorld) -> None:
    grant_id = granted(small)["grant_id"]
    page = small.browser.get(opened(small, grant_id))
    text = text_of(page.text)
    assert "더해지는 것은 없어요" in text
    assert "한빛손해보험에서 여기에 로그인한 시각과 방법(비밀번호)을 알게 돼요." in text
    assert "식별 번호" not in text
    assert "form-action 'self' https://insurer.example" in page.headers["Content-Security-Policy"]
    english = opened(small, grant_id, scope="openid records.read", ui_locales="en")
    text = text_of(small.browser.get(english).text)
    assert "Nothing is added" in text
    assert "also learns an id of yours" in text


def test_an_id_token_comes_with_it_if_it_is_asked_for(small: OpenIDWorld) -> None:
    tokens = granted(small)
    small.clock.advance(AGE + timedelta(seconds=1))
    path = opened(small, tokens["grant_id"], scope="openid records.read")
    before = recognitions(small)
    fresh = small.redeemed(small.decide(path))
    assert small.claims(fresh)["auth_time"] == introspected(small, fresh["access_token"])["auth_time"]
    assert recognitions(small) == [*before, EventType.SIGN_IN_SHARED]


def test_who_does_not_let_it_know_who_they_are_has_that_on_record(small: OpenIDWorld) -> None:
    tokens = granted(small)
    small.clock.advance(AGE + timedelta(seconds=1))
    before = recognitions(small)
    small.decide(opened(small, tokens["grant_id"], scope="openid records.read"), "deny")
    assert recognitions(small) == [*before, EventType.SIGN_IN_REFUSED]


def test_a_code_that_nobody_came_for_ends_no_grant(small: OpenIDWorld) -> None:
    tokens = granted(small)
    assert small.insurer.revoke(tokens["refresh_token"]).status_code == 200
    small.decide(opened(small, tokens["grant_id"]))
    small.clock.advance(timedelta(hours=2))
    assert end_unclaimed(small.installation, small.clock()) == 0
    with small.installation.data.read() as session:
        assert session.get_one(Consent, tokens["grant_id"]).state == ConsentState.GIVEN


def test_a_code_used_twice_ends_the_tokens_of_its_grant(small: OpenIDWorld) -> None:
    tokens = granted(small)
    code = answer_in(small.decide(opened(small, tokens["grant_id"])))["code"]
    assert small.insurer.redeem(code).status_code == 200
    assert refused(small.insurer.redeem(code), "invalid_grant")
    assert introspected(small, tokens["access_token"]) == {"active": False}


# Without a browser, and for another


def test_a_client_without_a_browser_asks_the_same(asking: Asking) -> None:
    auth_req_id = asking.asked_records(scope="records.read")
    asking.decide(room="consent")
    tokens = asking.poll(auth_req_id).json()
    asking.wait(400)
    change = {"grant_id": tokens["grant_id"], "grant_management_action": "merge", "scope": "records.read"}
    second = asking.asked(**change)
    waiting = asking.world.browser.get("/ko/asked").text
    assert f"/ko/confirm/{asking.interaction_id()}" in waiting
    asking.decide(room="confirm")
    fresh = asking.poll(second).json()
    assert fresh["grant_id"] == tokens["grant_id"]
    auth_time = introspected(asking.world, fresh["access_token"])["auth_time"]
    assert auth_time == int(asking.clock().timestamp())


def test_without_a_browser_too_what_has_ended_is_not_confirmed(small_asking: Asking) -> None:
    auth_req_id = small_asking.asked_records(scope="records.read")
    small_asking.decide(room="consent")
    grant_id = small_asking.poll(auth_req_id).json()["grant_id"]
    change = {"grant_id": grant_id, "grant_management_action": "merge", "scope": "records.read"}
    second, world = small_asking.asked(**change), small_asking.world
    path = f"/ko/confirm/{small_asking.interaction_id()}"
    world.sign_in(page=world.browser.get(path).headers["Location"])
    with transaction(world.installation.data) as work:
        withdraw(work, world.installation.keyring, grant_id, world.subject_id, world.clock())
    page = world.browser.get(path)
    assert (page.status_code, 'id="return"' in page.text) == (409, False)
    assert refused(small_asking.poll(second), "access_denied")


def test_who_agrees_for_another_signed_in_too(small: OpenIDWorld) -> None:
    """The token tells of the sign-in of whoever acted, and of no session: nobody signed in as the other."""
    acts_for_haneul(small)
    signed_in_at = small.clock()
    small.clock.advance(timedelta(seconds=5))
    path = small.arrive(small.push_records(scope="records.read"))
    tokens = small.redeemed(small.decide(path))
    with small.installation.data.read() as session:
        row = session.get_one(Token, hash_of(tokens["access_token"]))
        assert (row.subject_id, row.auth_time, row.acr) == (small.subject_id, signed_in_at, ACR)
        assert row.session_digest is None
    assert "id_token" not in tokens
    assert pull(small, tokens).status_code == 200
