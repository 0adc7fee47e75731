"""Signing in at a recipient is on the person's own record, and at whom is nobody else's business."""

import pytest
from sqlmodel import select

from consent.dossier import subject_handle, timeline_of
from consent.ledger.events import Event
from consent.ledger.models import LedgerEntry
from consent.recognition import SIGN_IN_PURPOSE, record_recognition
from tests.consent.office import RECIPIENT, Office


@pytest.mark.parametrize(("is_told", "kind"), [(True, "sign_in.shared"), (False, "sign_in.refused")])
def test_a_sign_in_is_on_the_persons_record(office: Office, is_told: bool, kind: str) -> None:  # noqa: FBT001 - a parameter
    with office.work() as work:
        record_recognition(
            work, office.keyring, office.subject_id, RECIPIENT, office.clock(), is_told=is_told
        )
    handle = subject_handle(office.keyring, office.subject_id)
    with office.installation.data.read() as session:
        (entry,) = timeline_of(session, office.keyring, office.subject_id, [handle])
        leaves = session.exec(select(LedgerEntry.leaf).where(LedgerEntry.handle == handle)).all()
    assert entry["type"] == kind
    assert entry["detail"] == {"subject_id": office.subject_id, "recipient": RECIPIENT}
    (event,) = map(Event.from_leaf, leaves)
    assert (event.recipient, event.purpose) == (None, SIGN_IN_PURPOSE)
    assert RECIPIENT.encode() not in leaves[0]
