"""`mydata key`: signing keys listed with their dates, published ahead, switched at once; refusals first."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from broker.cli.diagnosis.registry import check_rotation
from broker.installation import Installation
from broker.jobs.rotating import rotate_keys
from tests.cli.conftest import Mydata, run
from tests.installation import Clock

DAY = timedelta(days=1)


def keys(mydata: Mydata, name: str = "oauth") -> list[dict[str, Any]]:
    return [row for row in mydata("key", "status", "-o", "json").json() if row["key"] == name]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("log",), "auditors know the log by it"),
        (("epoch",), "oauth, receipt, openid"),
        (("oauth", "--drop-previous"), "--now"),
        (("receipt", "--now", "--drop-previous"), "must verify years later"),
    ],
)
def test_what_cannot_be_rotated_like_this(mydata: Mydata, arguments: tuple[str, ...], said: str) -> None:
    before = mydata("key", "status").out
    ran = mydata("key", "rotate", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert mydata("key", "status").out == before


@pytest.mark.parametrize("arguments", [(), ("--now",)])
def test_a_key_that_is_not_there_is_not_made_by_rotating(mydata: Mydata, arguments: tuple[str, ...]) -> None:
    ran = mydata("key", "rotate", "openid", *arguments)
    assert (ran.code, "mydata key init" in ran.err) == (1, True)
    assert keys(mydata, "openid") == []


def test_by_hand_a_key_is_published_before_it_signs(mydata: Mydata, clock: Clock) -> None:
    (first,) = keys(mydata)
    ran = mydata("key", "rotate", "oauth", "-o", "json")
    assert ran.code == 0
    (told,) = ran.json()
    assert (told["key"], told["state"]) == ("oauth", "next")
    begin = datetime.fromisoformat(told["signs_from"])
    assert begin - clock() == 7 * DAY
    current, following = keys(mydata)
    assert current == first
    assert (following["id"], following["state"], following["signs_from"]) == (
        told["id"],
        "next",
        told["signs_from"],
    )


def test_a_second_time_nothing_is_published(mydata: Mydata) -> None:
    mydata("key", "rotate", "oauth")
    before = keys(mydata)
    ran = mydata("key", "rotate", "oauth", "-o", "json")
    assert (ran.code, ran.json()) == (0, [])
    assert "already" in ran.err
    assert keys(mydata) == before


def test_at_once_a_key_is_made_and_it_is_said_who_cannot_verify_for_how_long(mydata: Mydata) -> None:
    (first,) = keys(mydata)
    ran = mydata("key", "rotate", "oauth", "--now", "-o", "json")
    assert [(row["id"] == first["id"], row["state"]) for row in ran.json()] == [
        (False, "current"),
        (True, "previous"),
    ]
    assert "5 minutes" in ran.err
    current, previous = keys(mydata)
    assert (current["state"], current["signed_until"]) == ("current", None)
    assert (previous["id"], previous["state"]) == (first["id"], "previous")
    assert previous["signed_until"] is not None


def test_at_once_the_key_that_everybody_knows_is_taken(mydata: Mydata) -> None:
    (following,) = mydata("key", "rotate", "receipt", "-o", "json").json()
    ran = mydata("key", "rotate", "receipt", "--now", "-o", "json")
    assert (ran.json()[0]["id"], ran.err) == (following["id"], "")


def test_the_key_that_others_may_have_leaves_the_key_set(mydata: Mydata) -> None:
    ran = mydata("key", "rotate", "oauth", "--now", "--drop-previous")
    assert ran.code == 0
    assert [key["state"] for key in keys(mydata)] == ["current", "retired"]


def test_the_key_for_openid_connect_is_made_only_when_it_is_wanted(environ: dict[str, str]) -> None:
    wanting = environ | {"MYDATA__OAUTH__OIDC_CLIENTS": "true"}
    asked = ("key", "status", "-o", "json")
    assert run(environ, "key", "init").code == 0
    assert "openid" not in {row["key"] for row in run(environ, *asked).json()}
    doctor = {row["check"]: row for row in run(wanting, "doctor", "-o", "json").json()}
    assert (doctor["signing keys"]["outcome"], "openid" in doctor["signing keys"]["detail"]) == (
        "failed",
        True,
    )
    refused, idle = run(wanting, "serve"), run(wanting, "worker")
    assert (refused.code, "openid" in refused.err, "mydata key init" in refused.err) == (1, True, True)
    assert (idle.code, idle.err) == (refused.code, refused.err)
    assert run(wanting, "key", "init").code == 0
    (made,) = [row for row in run(wanting, *asked).json() if row["key"] == "openid"]
    assert (made["kind"], made["state"]) == ("RS256", "current")


def test_the_doctor_sees_that_nobody_rotates(sqlite_installation: Installation, clock: Clock) -> None:
    keyring, section = sqlite_installation.keyring, sqlite_installation.settings.keys
    never = section.model_copy(update={"rotate_days": 0})
    begun = clock()
    for after, outcome in (
        (0 * DAY, "ok"),
        (91 * DAY, "ok"),
        (91 * DAY + timedelta(seconds=1), "warning"),
    ):
        assert check_rotation(keyring, section, begun + after).outcome == outcome
        assert check_rotation(keyring, never, begun + after).outcome == "ok"
    for day in (83, 90):
        rotate_keys(sqlite_installation, begun + day * DAY)
    assert check_rotation(keyring, section, begun + 92 * DAY).outcome == "ok"
    rotate_keys(sqlite_installation, begun + 173 * DAY)
    assert check_rotation(keyring, never, begun + 182 * DAY).outcome == "warning"
