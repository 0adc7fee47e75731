"""The operator's self-check page: how every requirement of the server and each client came out, by clause."""

import json
import re
from html import unescape
from typing import Any, Final

import pytest
import typer
from sqlmodel import select

from broker.cli import build_program
from broker.db import transaction
from broker.oauth.models import Client
from broker.oauth.self_check.client import REQUIREMENTS as OF_CLIENTS
from broker.oauth.self_check.findings import Verdict
from broker.oauth.self_check.server import REQUIREMENTS as OF_SERVER
from broker.web.i18n import LANGUAGES, Language, load_words
from broker.web.operator import check_wording
from broker.web.signin.accounts import NewAccount, create_account
from broker.web.signin.models import Account
from tests.web.stage import Stage, text_of
from vault.jose import generate_private_jwk, public_jwk

WORDS: Final = load_words()
KEY: Final = public_jwk(generate_private_jwk("ES256"))
WEAK: Final = {"kty": "RSA", "kid": "old", "use": "sig", "n": "_" * 171, "e": "AQAB"}  # 1024 bits


@pytest.fixture
def operated(stage: Stage) -> Stage:
    """A broker with an operator. Nobody is signed in."""
    with transaction(stage.installation.data) as work:
        auditor = work.session.exec(select(Account).where(Account.role == "auditor")).one()
        operator = NewAccount("operator", "operator-1", auditor.password_hash)
        create_account(work.session, stage.installation.keyring, operator, stage.clock())
    return stage


def page_of(stage: Stage, language: Language = "en") -> str:
    stage.sign_in(username="operator-1")
    answer = stage.http.get(f"/{language}/operate/self-check")
    assert answer.status_code == 200
    page: str = answer.text
    return page


def insert(stage: Stage, client_id: str, *keys: object, **changes: object) -> None:
    """A row that registering would have refused."""
    with stage.installation.data.write() as session:
        good = session.exec(select(Client).where(Client.client_id == "hanbit-claims")).one().model_dump()
        row = good | {"client_id": client_id, "jwks": json.dumps({"keys": keys})} | changes
        session.add(Client(**row))


def line(page: str, identifier: str) -> str:
    """The words of one requirement."""
    found = re.search(rf'<tr id="{re.escape(identifier)}">.*?</tr>', page, re.DOTALL)
    assert found is not None, identifier
    return unescape(text_of(found[0]))


def order(page: str) -> list[str]:
    return re.findall(r'<h3 id="check-client-([^"]+)">', page)


# Whose page it is.


def test_a_stranger_signs_in_first(operated: Stage) -> None:
    for language in LANGUAGES:
        answer = operated.http.get(f"/{language}/operate/self-check")
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/{language}/signin?next=/{language}/operate/self-check"


@pytest.mark.parametrize("username", ["haneul", "auditor-1"])
def test_a_citizen_and_an_auditor_are_refused(operated: Stage, username: str) -> None:
    operated.sign_in(username=username)
    answer = operated.http.get("/ko/operate/self-check")
    assert answer.status_code == 403
    assert "hanbit-claims" not in answer.text


def test_nothing_can_be_changed_here(operated: Stage) -> None:
    page = page_of(operated, "ko")
    assert re.findall(r'<form [^>]*action="([^"]+)"', page) == ["/ko/signout"]
    assert operated.http.post("/ko/operate/self-check", data={}).status_code == 405


# What it says.


@pytest.mark.parametrize(
    ("keys", "wrong", "told"),
    [
        ([WEAK], "key-strong", "old"),
        ([{**KEY, "exp": 1}], "key-current", KEY["kid"]),
        ([{**KEY, "crv": "secp256k1"}], "key-known", KEY["kid"]),
    ],
    ids=["weak", "expired", "unknown"],
)
def test_a_client_whose_key_is_no_good_is_shown_as_such(
    operated: Stage, keys: list[object], wrong: str, told: str
) -> None:
    insert(operated, "weak-app", *keys)
    page = page_of(operated)
    shown = line(page, f"client-weak-app.client.{wrong}")
    requirement = OF_CLIENTS[f"client.{wrong}"]
    for part in ("Not met", told, requirement.clause, requirement.statement):
        assert part in shown
    assert "Not met" in line(page, "client-weak-app.client.key-present")
    assert "Met" in line(page, f"client-hanbit-claims.client.{wrong}")
    assert order(page) == ["weak-app", "hanbit-claims"], "what fails comes first"
    assert "With something that is not met: 1" in text_of(page)


def test_a_warning_is_not_a_failure(operated: Stage) -> None:
    signing = {"security_profile": "fapi2_message_signing"}
    insert(operated, "signing-app", KEY, **signing)
    page = page_of(operated)
    assert "Look at it" in line(page, "client-signing-app.client.signed-responses")
    assert "With something that is not met" not in text_of(page)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_requirement_of_the_server_and_of_each_client_is_there(
    operated: Stage, language: Language
) -> None:
    page = page_of(operated, language)
    for identifier, requirements in (("server", OF_SERVER), ("client-hanbit-claims", OF_CLIENTS)):
        for name, requirement in requirements.items():
            shown = line(page, f"{identifier}.{name}")
            assert requirement.clause in shown
            assert check_wording.statement(WORDS[language], name) in shown
    # The issuer of the tests is plain http, which a demo may be.
    assert check_wording.verdict(WORDS[language], Verdict.WARNING) in line(page, "server.server.issuer")


def test_a_name_that_is_markup_stays_text(operated: Stage) -> None:
    insert(operated, "odd-app", {**WEAK, "kid": "<b>old</b>"})
    page = page_of(operated)
    assert "<b>old</b>" not in page
    assert "&lt;b&gt;old&lt;/b&gt;" in page


def test_a_suspended_client_is_named_as_one(operated: Stage) -> None:
    insert(operated, "gone-app", KEY, status="suspended")
    page = page_of(operated)
    heading = re.search(r'<h3 id="check-client-gone-app">.*?</div>', page, re.DOTALL)
    assert heading is not None
    assert "Suspended" in heading[0]


def test_at_most_fifty_clients_are_shown_and_the_rest_is_counted(operated: Stage) -> None:
    for number in range(52):
        insert(operated, f"app-{number:02}", KEY)
    insert(operated, "weak-app", WEAK)
    page = page_of(operated)
    assert len(order(page)) == 50
    assert order(page)[0] == "weak-app"
    assert "4 more are not shown here." in text_of(page)


def test_the_menu_leads_here_and_the_command_exists(operated: Stage) -> None:
    page = page_of(operated, "ko")
    assert '<a href="/ko/operate/self-check" aria-current="page">' in page
    assert re.search(r'<a href="/ko/operate">', page)
    assert '<a href="/ko/operate/self-check">' in operated.http.get("/ko/operate").text
    assert "<code>mydata client check</code>" in page
    program: Any = typer.main.get_command(build_program())
    assert "check" in program.commands["client"].commands


# Its words.


def test_the_words_are_those_of_the_requirements() -> None:
    for name, requirement in (dict(OF_SERVER) | dict(OF_CLIENTS)).items():
        assert check_wording.statement(WORDS["en"], name) == requirement.statement, name
        assert check_wording.statement(WORDS["ko"], name) != requirement.statement, name


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_later_program_invents_stays_as_it_is(language: Language) -> None:
    assert check_wording.statement(WORDS[language], "client.later") == "client.later"
    assert check_wording.verdict(WORDS[language], "later") == "later"
    assert all(check_wording.verdict(WORDS[language], one) != one for one in Verdict)
