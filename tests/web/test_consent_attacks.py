"""What attackers try on the pages where people sign in and agree (RFC 9700 section 4)."""

import re
from typing import Final

import pytest
from starlette.testclient import TestClient

from broker.app import create_app
from consent.vocabulary import ConsentState
from tests.installation import ISSUER
from tests.web.stage import REDIRECT_URI, Form, Stage

EVIL: Final = "https://evil.example"

# Cross-site request forgery: another site sends the form of somebody who is signed in here (section 4.7).

FOREIGN: Final[dict[str, dict[str, str]]] = {
    "another origin": {"Origin": EVIL},
    "a sandboxed frame": {"Origin": "null"},
    "another site": {"Origin": ISSUER, "Sec-Fetch-Site": "cross-site"},
    "a page of the same site": {"Sec-Fetch-Site": "same-site"},
    "nothing said, and no token": {},
}


@pytest.mark.parametrize("decision", ["allow", "deny"])
@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_form_decides_nothing_for_a_person(
    signed_in: Stage, headers: dict[str, str], decision: str
) -> None:
    interaction_id = signed_in.request()
    path = f"/ko/consent/{interaction_id}"
    fields = Form(signed_in.http.get(path).text).fields | {"decision": decision}
    if not headers:
        del fields["form_token"]
    del signed_in.http.headers["Origin"]
    answer = signed_in.http.post(path, data=fields, headers=headers)
    assert (answer.status_code, "foreign_form" in answer.text) == (403, True)
    assert "location" not in answer.headers
    assert [consent.state for consent in signed_in.consents()] == [ConsentState.REQUESTED]
    signed_in.http.headers["Origin"] = ISSUER
    assert signed_in.decide(interaction_id, "allow").status_code == 303, "the person still can"


def test_the_form_of_somebody_elses_browser_decides_nothing(signed_in: Stage) -> None:
    """Login CSRF and a swapped browser: the token is this browser's, and the request is this person's."""
    interaction_id = signed_in.request()
    path = f"/ko/consent/{interaction_id}"
    fields = Form(signed_in.http.get(path).text).fields | {"decision": "allow"}
    with TestClient(create_app(signed_in.installation), base_url=ISSUER, follow_redirects=False) as other:
        assert other.post(path, data=fields).status_code == 403
        sent = other.post(path, data=fields, headers={"Origin": ISSUER})
        assert sent.headers["location"].startswith("/ko/signin?next=")
    assert [consent.state for consent in signed_in.consents()] == [ConsentState.REQUESTED]


# Clickjacking: our page in a frame of another (section 4.16).


@pytest.mark.parametrize("page", ["signin", "consent", "home", "error", "operator"])
def test_no_page_can_be_framed(signed_in: Stage, page: str) -> None:
    path = {
        "signin": "/ko/signin",
        "consent": f"/ko/consent/{signed_in.request()}",
        "home": "/ko",
        "error": "/authorize?client_id=hanbit-claims&request_uri=urn:x",
        "operator": "/ko/operate/self-check",
    }[page]
    headers = signed_in.http.get(path).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"


# A 307 would carry the person's form on to the client (section 4.12).


@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_the_browser_is_sent_back_by_303_with_nothing_of_the_form(signed_in: Stage, decision: str) -> None:
    answer = signed_in.decide(signed_in.request(), decision)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{REDIRECT_URI}&")
    assert answer.content == b""


def test_every_redirect_after_a_form_is_a_303(stage: Stage) -> None:
    assert stage.sign_in().status_code == 303
    assert stage.http.post("/ko/signout", data=Form(stage.http.get("/ko").text).fields).status_code == 303


# Open redirection: our address that leads to theirs (section 4.11).

CRAFTED: Final = (
    {"client_id": "hanbit-claims", "redirect_uri": EVIL, "response_type": "code"},
    {"client_id": "hanbit-claims", "redirect_uri": EVIL, "request_uri": "urn:x"},
    {"client_id": "nobody", "redirect_uri": EVIL, "error": "access_denied"},
    {"client_id": "hanbit-claims", "request_uri": EVIL},
    {"redirect_uri": EVIL, "state": "s"},
)


@pytest.mark.parametrize("query", CRAFTED)
def test_the_authorization_endpoint_leads_nowhere_that_was_not_pushed(
    stage: Stage, query: dict[str, str]
) -> None:
    answer = stage.http.get("/authorize", params=query)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    targets = re.findall(r'(?:href|action)="([^"]+)"', answer.text)
    assert targets
    assert [target for target in targets if re.match(r"/(?!/)|#", target) is None] == []
    assert "http-equiv" not in answer.text


@pytest.mark.parametrize("target", [EVIL, "//evil.example", "/\\evil.example", "/ko/../..//evil.example"])
def test_signing_in_leads_to_our_own_pages_only(stage: Stage, target: str) -> None:
    assert stage.sign_in(next=target).headers["location"] == "/ko"


def test_another_language_or_page_of_a_request_does_not_change_where_it_ends(signed_in: Stage) -> None:
    interaction_id = signed_in.request()
    answer = signed_in.decide(interaction_id, "deny", redirect_uri=EVIL, next=EVIL)
    assert answer.headers["location"].startswith(f"{REDIRECT_URI}&")
