"""The main job from end to end, headless, over HTTP and between real processes; and what came of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from broker.demo.citizen import Citizen, UnexpectedPageError
from broker.demo.installing import Demo
from broker.demo.people import PERSONAS
from broker.installation import Installation
from broker.jobs.publishing import log_key, publish
from consent.ledger.export import export_log
from consent.ledger.verify import verify_export
from consent.receipt_signature import verify_receipt

NO_PLACE: Final = "no_place_left"
UNAUTHORISED: Final = 401


class StoryBrokenError(Exception):
    """Something that had to happen did not: `step` says which."""

    def __init__(self, step: str, found: object) -> None:
        self.step = step
        super().__init__(f"{step}: {found}")


@dataclass(frozen=True, slots=True)
class Staff:
    """A recipient's staff, over its own interface."""

    url: str
    staff_token: str

    def post(self, path: str) -> dict[str, Any]:
        """One call; the answer's members."""
        return self._call("POST", path)

    def get(self, path: str) -> dict[str, Any]:
        """One look."""
        return self._call("GET", path)

    def _call(self, method: str, path: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.staff_token}"}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=20)
        if not answer.is_success:
            raise StoryBrokenError(f"{method} {path.split('/')[1]}", answer.status_code)
        members: dict[str, Any] = answer.json()
        return members


def tell(demo: Demo, installation: Installation) -> dict[str, Any]:
    """Live the story of the first persona; answers the object that `design/interfaces` names.

    Raises StoryBrokenError at the first thing that did not happen.
    """
    insurer = Staff(demo.plan.insurer_url, demo.staff_token)
    citizen = Citizen(demo.plan.issuer, PERSONAS[0].username, demo.password)
    try:
        opened = insurer.post("/staff/cases")
        citizen.agree(opened["authorization_url"])
        path = f"/staff/cases/{opened['case_id']}"
        case = insurer.get(path)
        require("claim", case["state"] == "decided", case["state"], case["refusal"])
        again = insurer.post(f"{path}/pull?key=same")
        require("redelivery", again.get("payload_digest") == case["payload_digest"], again)
        second = insurer.post(f"{path}/pull?key=new")
        require("second pull", second == {"status": 403, "code": NO_PLACE}, second)
        insurer.post(f"{path}/ack")
        receipt = verified_receipt(demo, citizen, case["grant_id"])
        citizen.stop(case["grant_id"])
        after = insurer.post(f"{path}/pull?key=same")
        require("pull after withdrawal", after == {"status": 401, "code": "consent_withdrawn"}, after)
    except UnexpectedPageError as error:
        raise StoryBrokenError("page", error) from error
    finally:
        citizen.close()
    return {
        "issuer": demo.plan.issuer,
        "subject": PERSONAS[0].username,
        "consent": {"grant_id": case["grant_id"], "state": "WITHDRAWN"},
        "pull": {"records": case["records"], "delivery_id": case["delivery_id"]},
        "claim": {
            "lines": case["claim"]["lines"],
            "payable": case["claim"]["payable"],
            "status": case["claim"]["status"],
        },
        "redelivery_same_payload": True,
        "second_pull_refused": second["code"],
        "withdrawn": True,
        "pull_after_withdrawal": UNAUTHORISED,
        "receipt": receipt,
        "ledger": verified_ledger(demo, installation),
    }


def verified_receipt(demo: Demo, citizen: Citizen, grant_id: str) -> dict[str, Any]:
    """Download the receipt and the key set, and verify it as anybody could, offline."""
    folder = demo.plan.directory / "receipt"
    folder.mkdir()
    receipt = citizen.download(f"/ko/consents/{grant_id}/receipt.jws").strip()
    key_set = httpx.get(f"{demo.plan.issuer}/jwks", timeout=20).text
    path = folder / "receipt.jws"
    path.write_text(receipt + "\n", encoding="utf-8")
    (folder / "jwks.json").write_text(key_set, encoding="utf-8")
    claims = verify_receipt(receipt, orjson.loads(key_set))
    require("receipt", claims["grant_id"] == grant_id, "it speaks of another consent")
    return {"path": str(path), "verified": True}


def verified_ledger(demo: Demo, installation: Installation) -> dict[str, Any]:
    """Sign the head, export the log, and verify the export with the standard library's verifier."""
    checkpoint = publish(installation, installation.clock())
    directory: Path = demo.plan.directory / "log-export"
    with installation.data.read() as session:
        export_log(session, directory, vkey=log_key(installation).vkey)
    report = verify_export(directory, log_key(installation).vkey)
    require("ledger", report.outcome == "verified", report)
    return {
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "verified": True,
        "export": str(directory),
    }


def require(step: str, has_happened: bool, *found: object) -> None:  # noqa: FBT001 - it reads as a sentence
    """Raise StoryBrokenError unless it has happened."""
    if not has_happened:
        raise StoryBrokenError(step, found)
