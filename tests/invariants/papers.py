"""What a person can show to others: receipts, judged when they appear, and the log, exported and harmed.

Invariants 12, 14 and 26: receipts are verified by the keys that are published, the log by the verifier that
shares no code with its writer.
"""

import base64
import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import rfc8785
from sqlmodel import col, select

from broker.jobs.publishing import log_key, publish
from consent.disclosure import instant
from consent.ledger.export import export_log
from consent.ledger.models import LedgerEntry
from consent.ledger.verify import verify_export, verify_receipt_file
from consent.models import ConsentVersion, Organisation
from consent.owed import obligation_of
from consent.receipt_reading import ReceiptView, bundle_of, receipts_of
from consent.receipt_signature import verify_receipt
from consent.receipt_vocabulary import DPV, EVENTS_OF_KIND, OF_VERSION, TERMS, ReceiptKind
from consent.versions import version_id_of
from consent.vocabulary import ObligationState
from tests.consent.details import HOSPITAL, REGISTER
from tests.consent.office import RECIPIENT
from tests.invariants.scene import Scene, texts

HARMS: Final = ("flip", "edit", "delete", "swap", "repeat")
ANSWERED: Final = (ObligationState.ATTESTED, ObligationState.DISPUTED)


class Receipts:
    """The receipts of a person: each is what is on record when it appears, and never another afterwards."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._kept: dict[tuple[str, str], str] = {}

    def look(self) -> None:
        """Judge the receipts that the last step brought, and see that the others are what they were."""
        for grant_id in self._scene.grants:
            views = {(grant_id, view.reference): view for view in self.of(grant_id)}
            assert views.keys() >= {name for name in self._kept if name[0] == grant_id}
            for name, view in views.items():
                if name not in self._kept:
                    self._judge(view)
                    self._kept[name] = view.jws
                assert self._kept[name] == view.jws

    def of(self, grant_id: str) -> list[ReceiptView]:
        office = self._scene.office
        with office.installation.data.read() as session:
            return receipts_of(session, office.keyring, office.subject_id, grant_id)

    def all(self) -> dict[str, str]:
        """Every receipt by its id, byte for byte."""
        return {view.claims["jti"]: view.jws for grant_id in self._scene.grants for view in self.of(grant_id)}

    def prove(self) -> None:
        """The newest receipt of each consent is in the signed log, as a stranger finds without us."""
        office, key = self._scene.office, log_key(self._scene.world.installation).vkey
        for grant_id in self._scene.grants:
            for view in self.of(grant_id)[-1:]:
                with office.installation.data.read() as session:
                    bundle = bundle_of(
                        session,
                        office.keyring,
                        office.subject_id,
                        view,
                        jwks=self._published(),
                        log_key=key,
                        is_opened=True,
                    )
                report = verify_receipt_file(json.dumps(bundle).encode(), vkey=key)
                assert (report.claims, report.is_opened) == (view.claims, True)

    def _published(self) -> list[dict[str, Any]]:
        keys: list[dict[str, Any]] = self._scene.world.http.get("/jwks").json()["keys"]
        return keys

    def _judge(self, view: ReceiptView) -> None:
        claims = verify_receipt(view.jws, {"keys": self._published()})
        raw = view.jws.split(".")[1]
        decoded = base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))
        assert rfc8785.dumps(json.loads(decoded)) == decoded  # invariant 26
        said = {text.removeprefix(DPV) for text in texts(claims) if text.startswith(DPV)}
        assert said - {""} <= TERMS
        if view.kind in OF_VERSION.values():
            self._is_its_version(claims, view)
        else:
            self._is_its_entry(claims, view)

    def _is_its_version(self, claims: dict[str, Any], view: ReceiptView) -> None:
        """It was made in the very step that made the version: the record now is the record at issue."""
        scene = self._scene
        consent, now = scene.consent(claims["grant_id"]), scene.office.clock()
        version_id = version_id_of(consent.grant_id, view.number)
        with scene.office.installation.data.read() as session:
            version = session.get_one(ConsentVersion, version_id)
            parties = {name: session.get_one(Organisation, name) for name in (RECIPIENT, HOSPITAL, REGISTER)}
        terms = scene.terms_of(version_id).to_detail()
        assert (claims["terms"], claims["version"]) == (terms, consent.version_number)
        assert claims["terms_sha256"] == hashlib.sha256(rfc8785.dumps(terms)).hexdigest()
        assert claims["given_at"] == claims["events"][-1]["at"] == instant(now) == instant(version.created_at)
        assert claims["notice"]["sha256"] == version.notice_digest.hex()
        assert claims["data_subject"]["ref"] == consent.handle
        recipient, process = parties[RECIPIENT], claims["process"]
        assert (claims["recipient"]["id"], claims["recipient"]["contact"]) == (RECIPIENT, recipient.contact)
        assert claims["recipient"]["name"] == {"ko": recipient.name_ko, "en": recipient.name_en}
        assert {one["id"]: one["name"]["ko"] for one in process["holders"]} == {
            name: parties[name].name_ko for name in terms["holders"]
        }
        assert [one["@id"].rpartition("/")[2] for one in process["personal_data"]] == [
            item["record_type"] for item in terms["items"]
        ]
        assert process["duration"]["valid_until"] == instant(consent.valid_until)
        assert process["storage"]["period"] == terms["retention"]["period"]

    def _is_its_entry(self, claims: dict[str, Any], view: ReceiptView) -> None:
        """An end or a deletion: what its entry of the log says, over what has left and what must go."""
        scene, office = self._scene, self._scene.office
        grant_id = claims["grant_id"]
        with office.installation.data.read() as session:
            entry = session.get_one(LedgerEntry, view.entry_index)
            owed = obligation_of(session, office.subject_id, grant_id)
        leaf, agreed = json.loads(entry.leaf), [one for one in self.of(grant_id) if one.number == view.number]
        assert leaf["type"] == EVENTS_OF_KIND[view.kind]
        assert (claims["continues"], claims["terms"]) == (
            agreed[0].claims["jti"],
            scene.terms_of(version_id_of(grant_id, view.number)).to_detail(),
        )
        if view.kind is ReceiptKind.DELETION:
            assert claims["obligation"]["attested_at"] == leaf["at"]
            return
        delivered = {one.delivery_id: one.payload_digest.hex() for one in scene.deliveries(grant_id)}
        assert claims["end"]["at"] == leaf["at"]
        assert {one["delivery_id"]: one["payload_digest"] for one in claims["end"]["delivered"]} == delivered
        must_go = None if owed is None or owed.state in ANSWERED else owed
        assert ("obligation" in claims) == (must_go is not None)
        if must_go is not None:
            digests = [one.payload_digest.hex() for one in must_go.deliveries]
            assert claims["obligation"]["delete"] == digests
            assert claims["obligation"]["due_at"] == instant(must_go.due_at)


def audit(scene: Scene, harm: str, place: float) -> None:
    """Invariant 12: what is exported verifies offline; after one harm, somewhere in it, it does not."""
    installation, key = scene.world.installation, log_key(scene.world.installation).vkey
    publish(installation, scene.office.clock())
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "log"
        with installation.data.read() as session:
            export_log(session, directory, vkey=key)
        report = verify_export(directory, key)
        assert report.outcome == "verified", report
        assert report.head is not None
        assert report.head.size == scene.office.log_size()
        where = _harm(directory, harm, place)
        assert verify_export(directory, key).outcome == "falsified", (harm, where)


def leaves(scene: Scene) -> dict[int, bytes]:
    """The entries of a person's consents, by their place in the log."""
    handles = [consent.handle for consent in scene.consents()]
    with scene.office.installation.data.read() as session:
        rows = session.exec(select(LedgerEntry).where(col(LedgerEntry.handle).in_(handles))).all()
    return {row.idx: row.leaf for row in rows}


def _harm(directory: Path, harm: str, place: float) -> str:
    """Change the smallest thing that this kind of harm changes; answers where."""
    if harm == "flip":
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        path = files[int(place * len(files))]
        content = bytearray(path.read_bytes())
        content[int(place * 7919) % len(content)] ^= 1
        path.write_bytes(content)
        return path.name
    bundles = sorted(path for path in (directory / "tile" / "entries").rglob("*") if path.is_file())
    path = bundles[int(place * len(bundles))]
    entries = list(_entries(path.read_bytes()))
    at = int(place * 7919) % len(entries)
    if len(entries) == 1:
        harm = "delete"
    if harm == "edit":
        edited = json.loads(entries[at])
        entries[at] = rfc8785.dumps({**edited, "purpose": "another"})
    elif harm == "delete":
        del entries[at]
    elif harm == "repeat":
        entries[at] = entries[at - 1]
    else:
        entries[at - 1], entries[at] = entries[at], entries[at - 1]
    path.write_bytes(b"".join(len(one).to_bytes(2, "big") + one for one in entries))
    return f"{path.name} {at}"


def _entries(bundle: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        yield bundle[at + 2 : end]
        at = end
