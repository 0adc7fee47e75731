"""Some weeks in the life of a citizen, for pages that have something to show."""

from datetime import timedelta
from typing import Any

from broker.db import transaction
from consent.delivery import receive_decision
from consent.evidence import Occurrence, evidence, record_consent_event
from consent.lifecycle import lock
from consent.models import Delivery
from consent.versions import version_id_of
from consent.vocabulary import EventType, Reason
from tests.web.stage import Stage, bill
from vault.schema import random_id

DECISION: dict[str, Any] = {
    "status": "approved",
    "reference": "HB-2026-1201-0007",
    "payable": 71800,
    "lines": [
        {
            "bill_no": "20261110-0031",
            "part": "covered",
            "billed": 44200,
            "deductible": 20000,
            "paid": 24200,
            "rule_id": "gen4.covered.outpatient",
            "explanation": {
                "ko": "급여 통원: 본인부담금 44,200원에서 공제금액 20,000원을 뺐습니다. "
                "공제금액은 20,000원과 20% 가운데 큰 금액이며 청구금액을 넘지 않습니다.",
                "en": "Covered outpatient care: your share of 44,200 won less a deductible of 20,000 won.",
            },
        },
        {
            "bill_no": "20261110-0031",
            "part": "noncovered",
            "billed": 80000,
            "deductible": 32400,
            "paid": 47600,
            "rule_id": "gen4.noncovered.outpatient",
            "explanation": {
                "ko": "비급여 통원: 비급여 금액 80,000원에서 공제금액 32,400원을 뺐습니다.",
                "en": "Non-covered outpatient care: 80,000 won less a deductible of 32,400 won.",
            },
        },
    ],
    "explanation": {
        "ko": "외래 진료 1건을 4세대 실손의료보험 규칙으로 계산했습니다.",
        "en": "One outpatient visit, computed by the rules of the 4th generation.",
    },
}


def live(stage: Stage) -> str:
    """Decline one, stop one, leave one open, and have one pulled from; answers the last one's grant_id."""
    stage.sign_in()
    stage.decide(stage.request(), "deny")
    stage.clock.advance(timedelta(minutes=3))
    stopped = stage.agreed()
    stage.clock.advance(timedelta(minutes=3))
    stage.http.post(f"/ko/consents/{stopped}/stop")
    stage.clock.advance(timedelta(minutes=2))
    stage.http.get(f"/ko/consent/{stage.request(bill())}")
    stage.clock.advance(timedelta(minutes=2))
    grant_id = stage.agreed()
    _pull(stage, grant_id)
    stage.http.post("/ko/signout")
    stage.http.cookies.clear()
    return grant_id


def _pull(stage: Stage, grant_id: str) -> None:
    """What the lane writes for one pull, one refused second pull, and what the insurer answers."""
    keyring, delivery_id = stage.installation.keyring, random_id()
    with transaction(stage.installation.data) as work:
        stage.clock.advance(timedelta(minutes=1))
        consent, now = lock(work, grant_id), stage.clock()
        delivery = Delivery(
            delivery_id=delivery_id,
            grant_id=grant_id,
            version_id=version_id_of(grant_id, consent.version_number),
            subject_id=consent.subject_id,
            recipient_id=consent.recipient_id,
            ordinal=1,
            key_digest=bytes(32),
            request_digest=bytes(32),
            payload_digest=bytes(32),
            nonce_sealed=bytes(32),
            record_count=2,
            as_of=now,
            acknowledged_at=now,
        )
        work.session.add(delivery)
        record_consent_event(work, keyring, consent, EventType.DELIVERY_RELEASED, detail={}, now=now)
        refusal = Occurrence(
            event=EventType.DELIVERY_REFUSED,
            handle=consent.handle,
            at=now,
            recipient=consent.recipient_id,
            purpose=consent.purpose,
            facts={"reason": Reason.NO_PLACE_LEFT},
        )
        work.record(evidence(keyring.audit_key(consent.subject_id), refusal))
        work.session.flush()
        stage.clock.advance(timedelta(minutes=1))
        receive_decision(
            work,
            keyring,
            delivery_id,
            recipient_id=consent.recipient_id,
            body=DECISION,
            now=stage.clock(),
        )
