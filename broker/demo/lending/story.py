"""The story of a loan, headless, over HTTP and between real processes; and what came of it."""

from typing import Any

from broker.demo.citizen import Citizen, UnexpectedPageError
from broker.demo.installing import Demo
from broker.demo.lending.bank import AMOUNT
from broker.demo.people import PERSONAS
from broker.demo.story import (
    NO_PLACE,
    UNAUTHORISED,
    Staff,
    StoryBrokenError,
    require,
    verified_ledger,
    verified_receipt,
)
from broker.installation import Installation


def tell(demo: Demo, installation: Installation) -> dict[str, Any]:
    """The first persona borrows, and stops sharing afterwards; the bank deletes and signs that it did.

    Raises StoryBrokenError at the first thing that did not happen.
    """
    (bank,) = (one for one in demo.recipients if one.recipient.key == "bank")
    staff = Staff(bank.recipient.url, bank.staff_token)
    citizen = Citizen(demo.plan.issuer, PERSONAS[0].username, demo.password)
    try:
        opened = staff.post(f"/staff/applications?amount={AMOUNT}")
        citizen.agree(opened["authorization_url"])
        path = f"/staff/applications/{opened['application_id']}"
        loan = staff.get(path)
        require("loan", loan["state"] == "decided", loan["state"], loan["refusal"])
        again = staff.post(f"{path}/pull?key=same")
        require("redelivery", again.get("payload_digest") == loan["payload_digest"], again)
        second = staff.post(f"{path}/pull?key=new")
        require("second pull", second == {"status": 403, "code": NO_PLACE}, second)
        staff.post(f"{path}/ack")
        receipt = verified_receipt(demo, citizen, loan["grant_id"])
        citizen.stop(loan["grant_id"])
        after = staff.post(f"{path}/pull?key=same")
        require("pull after withdrawal", after == {"status": 401, "code": "consent_withdrawn"}, after)
        deleted = staff.post("/staff/deletions")["deleted"]
        require("deletion", deleted == 1 and not staff.get(path)["records"], deleted)
    except UnexpectedPageError as error:
        raise StoryBrokenError("page", error) from error
    finally:
        citizen.close()
    return {
        "service": "lending",
        "issuer": demo.plan.issuer,
        "subject": PERSONAS[0].username,
        "consent": {"grant_id": loan["grant_id"], "state": "WITHDRAWN"},
        "asked": {
            item["record_type"]: item["mode"] for item in bank.client()["authorization_details"][0]["items"]
        },
        "pull": {"records": loan["records"], "delivery_id": loan["delivery_id"]},
        "decision": {
            "status": loan["decision"]["status"],
            "amount": loan["decision"]["payable"],
            "rate": loan["rate"],
            "rules": [line["rule_id"] for line in loan["decision"]["lines"]],
        },
        "redelivery_same_payload": True,
        "second_pull_refused": second["code"],
        "withdrawn": True,
        "pull_after_withdrawal": UNAUTHORISED,
        "deletion_attested": True,
        "receipt": receipt,
        "ledger": verified_ledger(demo, installation),
    }
