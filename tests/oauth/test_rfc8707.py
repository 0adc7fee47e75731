"""RFC 8707: what a client may name as the place where it will use its token."""

import pytest

from tests.installation import ISSUER
from tests.oauth.message_signing import push_object, push_signed, register, request_object
from tests.oauth.world import World, refused

ELSEWHERE = (
    "https://elsewhere.example/v1/records",
    f"{ISSUER}.elsewhere.example/",
    f"{ISSUER}@elsewhere.example/",
    f"{ISSUER}/v1/records#part",
    f"{ISSUER}/v1/../v1/records",
    "/v1/records",
    "records",
)
HERE = (ISSUER, f"{ISSUER}/", f"{ISSUER}/v1/records")


@pytest.mark.parametrize("resource", ELSEWHERE)
def test_a_token_for_somewhere_else_is_not_given(small_world: World, resource: str) -> None:
    insurer = small_world.insurer
    assert refused(insurer.push(resource=resource), "invalid_target")
    assert refused(insurer.own_token(resource=resource), "invalid_target")


def test_one_of_several_that_is_elsewhere_is_enough(small_world: World) -> None:
    insurer = small_world.insurer
    both = [ISSUER, ELSEWHERE[0]]
    assert refused(insurer.push(resource=both), "invalid_target")
    assert refused(insurer.own_token(resource=both), "invalid_target")
    register(small_world, insurer)
    assert refused(push_signed(insurer, resource=both), "invalid_target")
    assert refused(push_signed(insurer, resource=ELSEWHERE[0]), "invalid_target")


def test_neither_a_code_nor_a_refresh_token_opens_another_place(small_world: World) -> None:
    insurer = small_world.insurer
    code = small_world.code()
    assert refused(insurer.redeem(code, resource=ELSEWHERE[0]), "invalid_target")
    # Nothing was used up by that: the code is good still.
    tokens = insurer.redeem(code).json()
    assert refused(insurer.refresh(tokens["refresh_token"], resource=ELSEWHERE[0]), "invalid_target")


def test_the_resource_beside_a_signed_request_is_not_looked_at(small_world: World) -> None:
    insurer = small_world.insurer
    register(small_world, insurer)
    assert push_object(insurer, request_object(insurer), resource=ELSEWHERE[0]).status_code == 201


@pytest.mark.parametrize("resource", [*HERE, list(HERE), ""])
def test_this_server_may_be_named_once_or_several_times(
    small_world: World, resource: str | list[str]
) -> None:
    insurer = small_world.insurer
    code = small_world.code(resource=resource)
    tokens = insurer.redeem(code, resource=resource).json()
    assert insurer.refresh(tokens["refresh_token"], resource=resource).status_code == 200
    assert insurer.own_token(resource=resource).status_code == 200
    register(small_world, insurer)
    assert push_signed(insurer, resource=resource).status_code == 201
