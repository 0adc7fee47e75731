"""The contract service against a whole broker: what it refuses, what each person sees, what it forgets."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from broker.demo.lease.service import HOME
from broker.jobs.dealing import end_overdue_deals
from connectors.errors import UnreachableError
from connectors.http import Answer
from connectors.services.lease.recipient.store import LeaseState, PartyState
from connectors.services.relying_party import broker_client
from tests.connectors.services.lease.recipient.conftest import Service
from tests.web.stage import Form

SECRETS = {
    "tenant": ("김하늘", "1997-05-14", "3천만 원 이상"),
    "landlord": ("밀린 세금", "90,000,000원", "2024-02-19"),
}


def changed(answer: Answer, **members: Any) -> Answer:  # noqa: ANN401 - members of any kind
    return replace(answer, body=orjson.dumps(orjson.loads(answer.body) | members))


# What is refused


@pytest.mark.parametrize(
    ("field", "value"),
    [("address", " "), ("deposit", "많이"), ("deposit", "0"), ("value", "-1"), ("rent", "9" * 13)],
)
def test_a_form_that_is_not_complete_is_shown_again_with_its_fault(
    service: Service, field: str, value: str
) -> None:
    answer = service.browser("agent").post("/leases", data={"address": "바람길 7", field: value})
    assert answer.status_code == 422
    assert 'class="fault"' in answer.text
    assert "/v1/deals" not in service.wire.asked


def test_unknown_links_foreign_answers_and_staff_without_a_token_get_nothing(service: Service) -> None:
    agent = service.browser("agent")
    for path in ("/in/nothing", "/in/nothing/contract"):
        assert agent.get(path).status_code == 404
    assert agent.post("/in/nothing/sign").status_code == 404
    assert agent.get("/callback?state=x&iss=y&code=z").status_code == 400
    lease, _ = service.begins()
    for method, path in (
        ("GET", "/staff/leases"),
        ("GET", f"/staff/leases/{lease.lease_id}"),
        ("POST", f"/staff/leases/{lease.lease_id}/tenant/pull"),
        ("POST", f"/staff/leases/{lease.lease_id}/ack"),
        ("POST", "/staff/deletions"),
    ):
        assert agent.request(method, path).status_code == 401


def test_an_answer_that_another_browser_brings_is_not_taken(service: Service) -> None:
    lease, links = service.begins()
    parameters = service.decides("agent", service.goes("agent", links["agent"]))
    assert service.comes_back("tenant", parameters).status_code == 400
    foreign = parameters | {"iss": "https://elsewhere.example"}
    assert service.comes_back("agent", foreign).status_code == 400
    assert service.lease(lease.lease_id).parties["agent"].state is PartyState.INVITED
    assert service.comes_back("agent", parameters).status_code == 303
    assert service.lease(lease.lease_id).parties["agent"].state is PartyState.SIGNED


def test_a_broker_that_is_away_begins_nothing_and_ends_nothing(service: Service) -> None:
    lease, links = service.begins()

    def away(_: str, __: Answer) -> Answer:
        raise UnreachableError("broker.example")

    service.wire.tap = away
    assert service.browser("agent").post("/leases", data={}).status_code == 422
    assert service.browser("agent").post("/leases", data=dict(HOME)).status_code == 502
    assert service.browser("agent").post(f"{links['agent']}/sign").headers["location"] == links["agent"]
    service.desk.advance(lease.lease_id)
    assert service.lease(lease.lease_id).state is LeaseState.SIGNING


# All or nothing


def test_nothing_is_shown_before_everybody_has_signed(service: Service) -> None:
    lease, links = service.begins()
    for role in ("tenant", "landlord"):
        service.signs(role, links[role])
        shown = service.sees(role, links[role])
        assert 'id="waiting"' in shown
        assert 'id="findings"' not in shown
    answer = service.browser("tenant").get(f"{links['tenant']}/contract")
    assert answer.headers["location"] == links["tenant"]
    assert "/v1/deliveries" not in service.wire.asked
    assert service.desk.pull_again(lease.lease_id, "tenant", with_same_key=True) == (
        403,
        "consent_partially_signed",
    )


def test_each_sees_their_own_and_nobody_anything_else(service: Service) -> None:
    lease, links = service.all_sign()
    assert lease.state is LeaseState.READY
    assert service.wire.asked.count("/v1/deliveries") == 3
    tenant, landlord, agent = (service.sees(role, links[role]) for role in ("tenant", "landlord", "agent"))
    assert 'id="taxes"><strong class="good">없습니다' in tenant
    assert 'id="owner"><strong class="good">계약하는 집주인이 맞습니다' in tenant
    assert "모두 90,000,000원" in tenant
    assert "verdict safe" in tenant
    assert "55,000,000원까지는 먼저 돌려받습니다" in tenant
    assert "김하늘" in landlord
    assert "3천만 원 이상 4천만 원 미만" in landlord
    for text in SECRETS["tenant"]:
        assert text not in tenant.replace("밀린 세금", "")
        assert text not in agent
    for text in (*SECRETS["landlord"], "윤이슬", "2층", "240,000,000"):
        assert text not in landlord
        assert text not in agent
    for text in ("윤이슬", "2층", "240,000,000", "한빛저축은행"):
        assert text not in tenant
    assert agent.count('<strong class="good">') >= 6
    for role, link in links.items():
        opened = service.browser(role).get(f"{link}/contract")
        assert opened.status_code == 200
        assert "주택 임대차 계약서" in opened.text


def test_the_results_are_for_the_browser_that_signed(service: Service) -> None:
    _, links = service.all_sign()
    shown = service.sees("agent", links["landlord"])
    assert 'id="elsewhere"' in shown
    assert "1997-05-14" not in shown


def test_one_no_ends_it_and_what_was_kept_goes(service: Service) -> None:
    lease, links = service.begins()
    service.signs("tenant", links["tenant"])
    service.signs("landlord", links["landlord"], "deny")
    assert service.lease(lease.lease_id).state is LeaseState.ENDED
    for role in ("tenant", "landlord", "agent"):
        shown = service.sees(role, links[role])
        assert 'id="ended"' in shown
        assert "한 분이 동의하지 않으셔서" in shown  # never which of them
    assert service.lease(lease.lease_id).parties["tenant"].access_token is None


def test_the_deadline_ends_it_for_the_service_too(service: Service) -> None:
    lease, links = service.begins()
    service.signs("tenant", links["tenant"])
    clock = service.broker.clock
    before = clock.now
    try:
        clock.advance(timedelta(days=7))
        end_overdue_deals(service.broker.installation, clock())
        service.desk.work()
        assert service.lease(lease.lease_id).ended_by == "expired"
    finally:
        clock.now = before


def test_days_may_pass_before_the_last_one_signs(service: Service) -> None:
    """The first token is too old by then: a fresh one takes the same delivery."""
    lease, links = service.begins()
    service.signs("tenant", links["tenant"])
    clock = service.broker.clock
    before = clock.now
    try:
        clock.advance(timedelta(days=2))
        service.broker.browsers.clear()
        for role in ("landlord", "agent"):
            service.signs(role, links[role])
        assert service.lease(lease.lease_id).state is LeaseState.READY
    finally:
        clock.now = before
        service.broker.browsers.clear()


# What is believed


@pytest.mark.parametrize("record_type", ["tax.clearance", "income.certificate"])
def test_an_answer_without_the_broker_s_signature_ends_it(
    service: Service, record_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsigned(path: str, answer: Answer) -> Answer:
        if path != "/v1/deliveries" or answer.status != 200:
            return answer
        records = orjson.loads(answer.body)["records"]
        for entry in records.get(record_type, []):
            entry["data"] |= {"answer": True, "signature": "none"}
        return changed(answer, records=records)

    # The digest is recomputed by whoever lies; only the signature is out of reach.
    monkeypatch.setattr(broker_client, "compare_digest", lambda *_: True)
    lease, links = service.begins()
    service.wire.tap = unsigned
    for role, link in links.items():
        service.signs(role, link)
    ended = service.lease(lease.lease_id)
    assert (ended.state, ended.ended_by) == (LeaseState.ENDED, "not_believed")
    assert all(not party.records for party in ended.parties.values())


# What is forgotten


def test_who_stops_is_forgotten_and_the_others_are_not(service: Service) -> None:
    lease, links = service.all_sign()
    assert service.desk.acknowledge(lease.lease_id) == 3
    grant_id = lease.parties["tenant"].grant_id
    citizen = service.broker.browsers["haneul"]
    page = citizen.get(f"/ko/consents/{grant_id}/stop").text
    stopped = citizen.post(
        f"/ko/consents/{grant_id}/stop",
        data=Form(page).fields,
        headers={"Origin": service.configuration.issuer},
    )
    assert stopped.status_code == 303
    service.deletion.look_now()
    assert service.deletion.work() == 1
    left = service.lease(lease.lease_id).parties
    assert (left["tenant"].state, left["tenant"].records) == (PartyState.FORGOTTEN, {})
    assert left["landlord"].records
    assert 'id="gone"' in service.sees("landlord", links["landlord"])
    assert 'id="findings"' in service.sees("tenant", links["tenant"])


def test_a_death_while_redeeming_lets_the_browser_try_again(service: Service) -> None:
    lease, links = service.begins()
    parameters = service.decides("tenant", service.goes("tenant", links["tenant"]))
    attempt = service.store.attempt(parameters["state"])
    assert attempt is not None
    assert service.store.begin_redeeming(attempt)
    assert not service.store.begin_redeeming(attempt)
    service.comes_back("tenant", parameters)  # another request is at it
    assert service.lease(lease.lease_id).parties["tenant"].state is PartyState.INVITED
    service.store.recover()
    service.comes_back("tenant", parameters)
    assert service.lease(lease.lease_id).parties["tenant"].state is PartyState.SIGNED


def test_another_one_with_the_link_does_not_lose_the_person_s_answer(service: Service) -> None:
    lease, links = service.begins()
    parameters = service.decides("tenant", service.goes("tenant", links["tenant"]))
    service.browser("stranger").post(f"{links['tenant']}/sign")
    service.comes_back("tenant", parameters)
    assert service.lease(lease.lease_id).parties["tenant"].state is PartyState.SIGNED
