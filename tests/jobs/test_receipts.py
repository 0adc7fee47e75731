"""The duty to issue a receipt: put off while it cannot be made, done by one worker, made once."""

import threading
from datetime import timedelta

from sqlmodel import select

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.duties import drain
from consent.models import ConsentVersion, Duty, Receipt
from consent.outbox import DutyKind
from consent.receipt_reading import receipts_of
from consent.versions import seal_receipt
from tests.api.conftest import Office

PATIENCE = 120


def receipt_duties(installation: Installation) -> list[Duty]:
    with installation.data.read() as session:
        return list(session.exec(select(Duty).where(Duty.kind == DutyKind.ISSUE_RECEIPT)))


def receipts(installation: Installation) -> list[Receipt]:
    with installation.data.read() as session:
        return list(session.exec(select(Receipt)))


def test_a_receipt_that_cannot_be_made_is_put_off_and_stops_no_other_duty(office: Office) -> None:
    installation, clock = office.world.installation, office.world.clock
    grant_id = office.grant()["grant_id"]
    with transaction(installation.data) as work:
        version = work.session.get_one(ConsentVersion, f"{grant_id}.1")
        kept = version.receipt_sealed
        version.receipt_sealed = seal_receipt(
            installation.keyring, office.world.subject_id, version.version_id, "no receipt"
        )
    office.world.withdraw(grant_id)
    assert drain(installation, clock()) == 1  # the shares
    (duty,) = receipt_duties(installation)
    assert (duty.attempts, duty.done_at) == (1, None)
    with transaction(installation.data) as work:
        work.session.get_one(ConsentVersion, f"{grant_id}.1").receipt_sealed = kept
    clock.advance(timedelta(minutes=1))
    assert drain(installation, clock()) == 1
    with installation.data.read() as session:
        found = receipts_of(session, installation.keyring, office.world.subject_id, grant_id)
    assert [view.kind.value for view in found] == ["grant", "withdrawal"]


def test_workers_at_once_make_one_receipt(office: Office) -> None:
    installation, now = office.world.installation, office.world.clock()
    office.world.withdraw(office.grant()["grant_id"])
    at_once = threading.Barrier(3)

    def work_here() -> None:
        at_once.wait(PATIENCE)
        drain(installation, now)

    workers = [threading.Thread(target=work_here) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert len(receipts(installation)) == 1
    assert [duty.done_at for duty in receipt_duties(installation)] == [now]
