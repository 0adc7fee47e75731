"""An independent client verifies what we sign, and we what it signs (FAPI 2.0 Message Signing)."""

from pathlib import Path

from tests.clients.test_npm_clients import run
from tests.flows.demos import RunningDemo


def test_oauth4webapi_signs_its_request_and_verifies_our_answers(scripts: Path, demo: RunningDemo) -> None:
    told = run(scripts / "message_signing.mjs", demo)
    assert (told["forged"], told["again"]) == ("invalid_request_object", "invalid_request_object")
    assert "response" in told["answered"]
    assert not {"code", "state", "iss", "error"} & set(told["answered"])
    assert told["other_client"] is not None
    assert told["introspection_type"] == "application/token-introspection+jwt"
    assert (told["known"]["active"], told["known"]["grant_id"]) == (True, told["grant_id"])
    assert told["is_active_after_revocation"] is False
