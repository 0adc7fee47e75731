"""Authorization responses: `iss` in each, state as it came, and nothing that was not asked for (RFC 9207)."""

from urllib.parse import urlsplit

import pytest

from broker.db import transaction
from broker.oauth import interaction
from tests.installation import ISSUER
from tests.oauth.world import LEFT_OUT, REDIRECT_URI, World, answer_in


def deny(world: World, interaction_id: str, subject_id: str | None) -> str:
    with transaction(world.installation.data) as work:
        return interaction.deny(
            work.session, world.installation.keyring, ISSUER, interaction_id, subject_id, world.clock()
        )


@pytest.mark.parametrize("is_signed_in", [True, False])
def test_user_rejects_authentication(world: World, is_signed_in: bool) -> None:  # noqa: FBT001 - a case
    interaction_id = world.interaction_of(world.insurer.push())
    address = deny(world, interaction_id, world.subject_id if is_signed_in else None)
    answer = answer_in(address)
    assert address.startswith(REDIRECT_URI)
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "a state", ISSUER)
    assert "code" not in answer


def test_an_allowed_request_answers_code_state_and_issuer(world: World) -> None:
    address = world.agree(world.interaction_of(world.insurer.push()))
    answer = answer_in(address)
    assert address.startswith(f"{REDIRECT_URI}&")
    assert set(answer) == {"flow", "code", "state", "iss"}
    assert (answer["state"], answer["iss"], answer["flow"]) == ("a state", ISSUER, "claim")
    assert urlsplit(address).fragment == ""


def test_ensure_authorization_request_without_state_success(small_world: World) -> None:
    for allowed in (True, False):
        interaction_id = small_world.interaction_of(small_world.insurer.push(state=LEFT_OUT))
        address = small_world.agree(interaction_id) if allowed else deny(small_world, interaction_id, None)
        assert "state" not in answer_in(address)
        assert answer_in(address)["iss"] == ISSUER


@pytest.mark.parametrize(
    "state",
    [
        pytest.param("x" * 384, id="with-long-state"),
        pytest.param("x" * 2048, id="longest"),
        pytest.param("a+b&c=d %26 \"'<>#?/\\", id="every kind of character"),
    ],
)
def test_state_comes_back_as_it_was(small_world: World, state: str) -> None:
    for allowed in (True, False):
        interaction_id = small_world.interaction_of(small_world.insurer.push(state=state))
        address = small_world.agree(interaction_id) if allowed else deny(small_world, interaction_id, None)
        assert answer_in(address)["state"] == state
        assert address.isascii()


@pytest.mark.parametrize("nonce", ["n" * 64, "n" * 384])
def test_a_nonce_is_never_in_the_answer_to_the_browser(small_world: World, nonce: str) -> None:
    """With-64-char-nonce-success, with-long-nonce, ensure-authorization-request-without-nonce-success."""
    address = small_world.agree(small_world.interaction_of(small_world.insurer.push(nonce=nonce)))
    assert "nonce" not in answer_in(address)
