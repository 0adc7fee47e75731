"""The story of a lease, headless: three people sign, nothing leaves before the last, each is pulled once."""

import re
import time
from contextlib import ExitStack, closing
from typing import Any, Final

from broker.demo.citizen import Citizen, UnexpectedPageError
from broker.demo.installing import Demo
from broker.demo.lease.service import HOME, PEOPLE
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

_PATIENCE_SECONDS: Final = 20
_LINK: Final = re.compile(r'id="link-(tenant|landlord)" value="([^"]+)"')
_EARLY: Final = {"status": 403, "told": "consent_partially_signed"}


def tell(demo: Demo, installation: Installation) -> dict[str, Any]:
    """An agent begins, three people sign, the contract opens; then the tenant stops sharing.

    Raises StoryBrokenError at the first thing that did not happen.
    """
    (service,) = (one for one in demo.recipients if one.recipient.key == "contracts")
    staff = Staff(service.recipient.url, service.staff_token)
    with ExitStack() as stack:
        people = {
            role: stack.enter_context(closing(Citizen(demo.plan.issuer, username, demo.password)))
            for role, username in PEOPLE.items()
        }
        try:
            told = _sign(service.recipient.url, staff, people)
            told |= _stop(demo, staff, people["tenant"], told)
        except UnexpectedPageError as error:
            raise StoryBrokenError("page", error) from error
    return {
        "service": "lease",
        "issuer": demo.plan.issuer,
        "subject": PEOPLE["tenant"],
        **told,
        "ledger": verified_ledger(demo, installation),
    }


def _sign(url: str, staff: Staff, people: dict[str, Citizen]) -> dict[str, Any]:
    """The agent begins and everybody signs; what each of them is shown."""
    own_link, page = people["agent"].fill_in(f"{url}/", "begin", HOME)
    links = {"agent": own_link, **dict(_LINK.findall(page))}
    require("links", set(links) == set(people), sorted(links))
    (lease,) = staff.get("/staff/leases")["leases"]
    path = f"/staff/leases/{lease['lease_id']}"
    signed: list[str] = []
    for role in ("agent", "tenant", "landlord"):
        for before in signed:
            refused = staff.post(f"{path}/{before}/pull?key=same")
            require("nothing before the last signature", refused == _EARLY, before, refused)
        people[role].agree_from(links[role], "sign")
        signed.append(role)
    lease = _ready(staff, path)
    shown = {role: people[role].read(links[role]) for role in people}
    require("findings", all('id="findings"' in page for page in shown.values()))
    require("contract", "주택 임대차 계약서" in people["tenant"].read(f"{links['tenant']}/contract"))
    second = staff.post(f"{path}/tenant/pull?key=new")
    require("second pull", second == {"status": 403, "told": NO_PLACE}, second)
    again = [staff.post(f"{path}/tenant/pull?key=same") for _ in range(2)]
    require("redelivery", again[0]["status"] == 200 and again[0] == again[1], again)  # noqa: PLR2004 - OK
    acknowledged = staff.post(f"{path}/ack")["acknowledged"]
    require("acknowledgement", acknowledged == len(people), acknowledged)
    tenant = lease["parties"]["tenant"]
    return {
        "deal": {"deal_id": lease["deal_id"], "state": "COMPLETE", "signed": signed},
        "consent": {"grant_id": tenant["grant_id"], "state": "GIVEN"},
        "pull": {"records": tenant["records"], "delivery_id": tenant["delivery_id"]},
        "pulls": {role: one["records"] for role, one in lease["parties"].items()},
        "early_pull_refused": _EARLY["told"],
        "deposit_at_risk": "verdict risky" in shown["tenant"],
        "contract_opened": True,
        "redelivery_same_payload": True,
        "second_pull_refused": second["told"],
        "_path": path,
    }


def _stop(demo: Demo, staff: Staff, tenant: Citizen, told: dict[str, Any]) -> dict[str, Any]:
    """The tenant stops; the service deletes and signs that it did; the others' consents live on."""
    path, grant_id = told.pop("_path"), told["consent"]["grant_id"]
    receipt = verified_receipt(demo, tenant, grant_id)
    tenant.stop(grant_id)
    after = staff.post(f"{path}/tenant/pull?key=same")
    expected = {"status": UNAUTHORISED, "told": "consent_withdrawn"}
    require("pull after withdrawal", after == expected, after)
    deleted = staff.post("/staff/deletions")["deleted"]
    left = staff.get(path)["parties"]
    require("deletion", deleted == 1 and not left["tenant"]["records"], deleted)
    require("the others keep theirs", bool(left["landlord"]["records"]), left["landlord"]["state"])
    return {
        "consent": {"grant_id": grant_id, "state": "WITHDRAWN"},
        "withdrawn": True,
        "pull_after_withdrawal": UNAUTHORISED,
        "deletion_attested": True,
        "receipt": receipt,
    }


def _ready(staff: Staff, path: str) -> dict[str, Any]:
    """The lease once everything was pulled."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (lease := staff.get(path))["state"] == "signing" and time.monotonic() < deadline:
        time.sleep(0.2)
    require("all checks", lease["state"] == "ready", lease["state"], lease["ended_by"])
    return lease
