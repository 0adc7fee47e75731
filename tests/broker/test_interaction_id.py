"""`x-fapi-interaction-id` comes back on every answer, and nothing but a UUID ever does."""

from collections.abc import Iterator

import pytest

from broker.installation import Installation
from broker.interaction_id import HEADER
from tests.installation import Clock
from tests.lane.world import World, opened

GOOD = "c770aef3-6784-41f7-8e0e-ff5f97bddb3a"


@pytest.fixture
def world(sqlite_installation: Installation, clock: Clock) -> Iterator[World]:
    with opened(sqlite_installation, clock) as world:
        yield world


@pytest.mark.parametrize(
    "sent",
    ["", "no uuid", GOOD + "0", GOOD[:-1], GOOD.replace("-", ""), f"{GOOD}, {GOOD}", "<b>", f"{GOOD}\u00e9"],
)
def test_what_is_no_uuid_does_not_come_back(world: World, sent: str) -> None:
    assert HEADER not in world.http.get("/livez", headers={HEADER: sent.encode("latin-1")}).headers


def test_two_of_them_are_none(world: World) -> None:
    sent = [(HEADER, GOOD), (HEADER, GOOD)]
    assert HEADER not in world.http.get("/livez", headers=sent).headers


def test_without_one_nothing_is_invented(world: World) -> None:
    assert HEADER not in world.http.get("/livez").headers


def test_it_comes_back_with_records_refusals_and_oauth_errors(world: World) -> None:
    granted, named = world.granted(), {HEADER: GOOD}
    headers = {"Authorization": f"DPoP {granted.token}", "DPoP": world.proof(granted.token), **named}
    pulled = world.http.get("/v1/records", headers=headers)
    refused = world.http.get("/v1/records", headers=named)
    unproven = world.http.post("/token", headers=named)
    unknown = world.http.get("/no/such/path", headers={HEADER: GOOD.upper()})
    assert [one.status_code for one in (pulled, refused)] == [200, 401]
    assert [one.headers[HEADER] for one in (pulled, refused, unproven)] == [GOOD] * 3
    assert unknown.headers[HEADER] == GOOD.upper()
