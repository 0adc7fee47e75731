"""OpenID CIBA with FAPI-CIBA: what the person does, and what the client gets for it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlmodel import select

from broker.db import transaction
from broker.jobs.expiry import sweep
from broker.oauth import clients, interaction
from broker.oauth.authentication_context import ONE_FACTOR
from broker.oauth.ciba_models import BackchannelRequest
from broker.oauth.errors import InteractionGoneError
from broker.oauth.models import Client, Token
from broker.oauth.tokens import SignedIn
from consent.lifecycle import withdraw
from consent.models import Consent
from tests.installation import ISSUER
from tests.oauth.asking import Asking
from tests.oauth.world import details, item, refused
from tests.web.stage import Form, text_of

AT_ONCE = 12
MANY = 100


class TestNotYet:
    def test_multiple_call_to_token_endpoint(self, asking: Asking) -> None:
        auth_req_id = asking.asked()
        assert refused(asking.poll(auth_req_id), "authorization_pending")
        assert refused(asking.poll(auth_req_id), "slow_down")
        asking.wait(6)  # more than the interval was, less than it is now
        assert refused(asking.poll(auth_req_id), "slow_down")
        asking.wait(15)
        assert refused(asking.poll(auth_req_id), "authorization_pending")

    def test_auth_req_id_expired(self, asking: Asking) -> None:
        auth_req_id = asking.asked(requested_expiry="30")
        interaction_id = asking.interaction_id()
        asking.wait(30)
        assert refused(asking.poll(auth_req_id), "expired_token")
        asking.world.sign_in()
        assert asking.world.browser.get(f"/ko/recognise/{interaction_id}").status_code != 200
        over = asking.world.browser.get(f"/en/asked/{interaction_id}").text
        assert "The time for this request is over" in over

    def test_an_allowance_that_is_not_fetched_in_time_is_expired(self, asking: Asking) -> None:
        auth_req_id = asking.asked(requested_expiry=30)
        asking.decide()
        asking.wait(30)
        assert refused(asking.poll(auth_req_id), "expired_token")

    def test_ensure_wrong_authentication_request_id_in_token_endpoint_request(self, asking: Asking) -> None:
        auth_req_id = asking.asked()
        asking.decide()
        assert refused(asking.poll(auth_req_id, asking.world.stranger), "invalid_grant")
        assert refused(asking.poll("mdb_unknown"), "invalid_grant")
        assert asking.poll(auth_req_id).status_code == 200

    def test_it_is_needed(self, small_asking: Asking) -> None:
        assert refused(small_asking.poll(""), "invalid_request")

    def test_it_is_no_code(self, small_asking: Asking) -> None:
        auth_req_id = small_asking.asked()
        small_asking.decide()
        answer = small_asking.insurer.redeem(auth_req_id, redirect_uri="")
        assert refused(answer, "invalid_grant", "invalid_request")
        assert small_asking.poll(auth_req_id).status_code == 200

    def test_without_a_proof_there_are_no_tokens(self, small_asking: Asking) -> None:
        auth_req_id = small_asking.asked()
        small_asking.decide()
        assert refused(small_asking.poll(auth_req_id, proofs=[]), "invalid_request")
        assert small_asking.poll(auth_req_id).status_code == 200

    def test_no_client_certificate_where_tokens_are_bound_to_one(self, small_asking: Asking) -> None:
        small_asking.metadata(
            backchannel_token_delivery_mode="poll", tls_client_certificate_bound_access_tokens=True
        )
        auth_req_id = small_asking.asked()
        small_asking.decide()
        assert refused(small_asking.poll(auth_req_id, proofs=[]), "invalid_request")


class TestDenied:
    @pytest.mark.parametrize("room", ["recognise", "consent"])
    def test_user_rejects_authentication(self, asking: Asking, room: str) -> None:
        auth_req_id = asking.asked() if room == "recognise" else asking.asked_records()
        address = asking.decide("deny", room)
        page = asking.world.browser.get(address)
        assert page.status_code == 200
        assert "거절" in page.text
        assert refused(asking.poll(auth_req_id), "access_denied")
        assert refused(asking.poll(auth_req_id), "access_denied")


class TestAllowed:
    def test_a_sign_in_alone_is_told_once(self, asking: Asking) -> None:
        auth_req_id = asking.asked()
        address = asking.decide()
        assert address == f"/ko/asked/{asking.interaction_id()}"
        answer = asking.poll(auth_req_id)
        assert answer.status_code == 200, answer.text
        tokens = answer.json()
        claims = asking.world.claims(tokens)
        assert claims["sub"] == asking.sub
        assert claims["auth_time"] >= asking.insurer.seconds - 5  # they signed in for this
        assert "refresh_token" not in tokens
        assert asking.world.userinfo(tokens).json()["sub"] == asking.sub
        assert refused(asking.poll(auth_req_id), "invalid_grant")

    def test_records_are_granted_as_in_the_redirect_flow(self, asking: Asking) -> None:
        auth_req_id = asking.asked_records()
        address = asking.decide(room="consent")
        page = asking.world.browser.get(address)
        assert "한빛손해보험" in text_of(page.text)
        tokens: dict[str, Any] = asking.poll(auth_req_id).json()
        assert tokens["token_type"] == "DPoP"
        assert tokens["authorization_details"][0]["grant_id"] == tokens["grant_id"]
        renewed = asking.insurer.refresh(tokens["refresh_token"])
        assert renewed.status_code == 200, renewed.text
        for aud, is_taken in ((f"{ISSUER}/bc-authorize", False), (f"{ISSUER}/token", True)):
            assertion = asking.insurer.assertion(aud=aud)  # as the certification's clients send it
            answer = asking.insurer.refresh(tokens["refresh_token"], client_assertion=assertion)
            assert (answer.status_code == 200) is is_taken, answer.text

    def test_a_grant_is_replaced_by_its_own_person(self, small_asking: Asking) -> None:
        first = small_asking.asked_records()
        small_asking.decide(room="consent")
        grant_id = small_asking.poll(first).json()["grant_id"]
        more = details(items=[item(fields=["institution", "totals"])])
        change: dict[str, Any] = {"grant_management_action": "replace", "grant_id": grant_id}
        second = small_asking.asked_records(authorization_details=[more], **change)
        small_asking.decide(room="consent")
        answer = small_asking.poll(second).json()
        assert answer["grant_id"] == grant_id
        assert answer["authorization_details"][0]["items"][0]["fields"] == ["institution", "totals"]

    def test_a_grant_of_somebody_else_is_not_asked_for(self, small_asking: Asking) -> None:
        small_asking.asked_records()
        small_asking.decide(room="consent")
        with small_asking.installation.data.read() as session:
            grant_id = session.exec(select(Consent.grant_id)).one()
        small_asking.world.sign_in("jeongsuk")
        other = small_asking.world.claims(small_asking.world.signed_in_at())["sub"]
        assert other != small_asking.sub
        change: dict[str, Any] = {"grant_management_action": "replace", "grant_id": grant_id}
        asked = {"login_hint": other, "authorization_details": [details()], "scope": "records.read"}
        assert refused(small_asking.ask(**asked, **change), "invalid_grant_id")

    def test_it_is_swept_a_day_after_its_end(self, small_asking: Asking) -> None:
        small_asking.asked()
        small_asking.wait(3600 + 2 * 86400)
        sweep(small_asking.installation, small_asking.clock())
        with small_asking.installation.data.read() as session:
            assert session.exec(select(BackchannelRequest)).all() == []

    def test_what_was_withdrawn_before_it_was_fetched_gives_nothing(self, asking: Asking) -> None:
        auth_req_id = asking.asked_records(scope="records.read")
        asking.decide(room="consent")
        subject_id = asking.world.subject_id
        with transaction(asking.installation.data) as work:
            grant_id = work.session.exec(select(Consent.grant_id)).one()
            withdraw(work, asking.installation.keyring, grant_id, subject_id, asking.clock())
        assert refused(asking.poll(auth_req_id), "invalid_grant")

    def test_who_signed_out_before_it_was_fetched_is_told_to_nobody(self, asking: Asking) -> None:
        auth_req_id = asking.asked()
        asking.decide()
        browser = asking.world.browser
        out = browser.post("/ko/signout", data=Form(browser.get("/ko/inbox").text).fields)
        assert out.status_code == 303
        assert refused(asking.poll(auth_req_id), "invalid_grant")

    def test_a_suspended_client_fetches_nothing(self, small_asking: Asking) -> None:
        auth_req_id = small_asking.asked()
        small_asking.decide()
        with transaction(small_asking.installation.data) as work:
            clients.suspend(work.session, small_asking.insurer.client_id)
        assert refused(small_asking.poll(auth_req_id), "invalid_client")
        assert refused(small_asking.ask(), "invalid_client")

    def test_a_scope_that_was_given_up_meanwhile_is_not_fetched(self, small_asking: Asking) -> None:
        auth_req_id = small_asking.asked_records()
        small_asking.decide(room="consent")
        with transaction(small_asking.installation.data) as work:
            work.session.get_one(Client, small_asking.insurer.client_id).scope = "openid"
        assert refused(small_asking.poll(auth_req_id), "invalid_grant")

    def test_yes_and_no_at_once_are_one_of_both(self, asking: Asking) -> None:
        auth_req_id, interaction_id = asking.asked(), asking.interaction_id()
        installation, subject_id, now = asking.installation, asking.world.subject_id, asking.clock()
        with transaction(installation.data) as work:
            interaction.attach_consent(work.session, interaction_id, subject_id, None, now)
        barrier, of = Barrier(8), (ISSUER, interaction_id, subject_id)
        signed_in = SignedIn(subject_id, now, ONE_FACTOR)

        def answer(number: int) -> str:
            barrier.wait()
            try:
                with transaction(installation.data) as work:
                    if number % 2:
                        interaction.deny(work.session, installation.keyring, *of, now)
                        return "access_denied"
                    interaction.allow(work.session, installation.keyring, *of, None, now, signed_in=signed_in)
                    return "tokens"
            except InteractionGoneError:
                return "gone"

        with ThreadPoolExecutor(8) as pool:
            said = sorted(pool.map(answer, range(8)))
        (counted,) = set(said) - {"gone"}
        assert said.count("gone") == 7
        polled = asking.poll(auth_req_id)
        assert polled.status_code == 200 if counted == "tokens" else refused(polled, counted)

    def test_nobody_else_answers_it_whoever_lets_them_try(self, asking: Asking) -> None:
        """The page turns them away before; this holds where a page would forget to."""
        auth_req_id, interaction_id = asking.asked(), asking.interaction_id()
        installation, now = asking.installation, asking.clock()
        for subject_id in (asking.world.other_subject_id, None):
            of = (installation.keyring, ISSUER, interaction_id, subject_id, now)
            with pytest.raises(InteractionGoneError), transaction(installation.data) as work:
                interaction.deny(work.session, *of)
        assert refused(asking.poll(auth_req_id), "authorization_pending")
        asking.decide()
        assert asking.poll(auth_req_id).status_code == 200

    def test_of_many_polls_at_once_one_gets_tokens(self, asking: Asking) -> None:
        auth_req_id = asking.asked_records()
        asking.decide(room="consent")
        with asking.installation.data.read() as session:
            before = len(session.exec(select(Token)).all())
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda _: asking.poll(auth_req_id), range(MANY)))
        given = [answer for answer in answers if answer.status_code == 200]
        assert len(given) == 1
        assert all(refused(answer, "invalid_grant") for answer in answers if answer is not given[0])
        with asking.installation.data.read() as session:
            assert len(session.exec(select(Token)).all()) == before + 2  # an access and a refresh token
