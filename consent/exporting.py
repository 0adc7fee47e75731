"""Everything that is kept about a person, as one ZIP of JSON that is made while it is read.

The format is told in `docs/subject-export.md`. Nothing is written anywhere on the way: files go out one after
the other, records in pages, so the memory it takes does not grow with what there is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from io import RawIOBase
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import orjson
from sqlalchemy import LargeBinary, Table
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from consent.collection import record_types_of
from consent.contacts import contacts_of
from consent.dossier import as_json, consent_record, organisation_of, subject_handle, timeline_of
from consent.errors import NotFoundError
from consent.evidence import Occurrence, Work, evidence
from consent.models import Consent, PendingRecord, RightRequest, SourceLink, Subject
from consent.rights import RIGHTS_PURPOSE, complaint_record, rights_of
from consent.staff import Staff
from consent.vocabulary import EventType
from vault.errors import UnknownKeyError
from vault.keys.keyring import Keyring
from vault.schema import data_metadata
from vault.store import Record, RecordIdentity, RecordVersion, open_record

EXPORT_FORMAT: Final = "mydata/subject-export@v1"
_PAGE: Final = 100

# What other files of the export tell already; and what lets somebody in, which is the broker's own.
_TOLD: Final = frozenset(
    {"consent", "delivery", "decision", "source_link", "record", "record_version", "right_request", "subject"}
)
_SECRET: Final = frozenset(
    {"account", "account_session", "code", "contact", "interaction", "token", "pending_record"}
)


def record_export(
    work: Work, keyring: Keyring, subject_id: str, *, staff: Staff | None, now: datetime
) -> None:
    """Put on record that everything of a person was taken out: by themselves, or by whom and why.

    Raises NotFoundError for nobody of ours.
    """
    if work.session.get(Subject, subject_id) is None:
        raise NotFoundError
    by = {"by": "subject"} if staff is None else {"by": staff.by, "because": staff.reason}
    occurrence = Occurrence(
        event=EventType.SUBJECT_EXPORTED,
        handle=subject_handle(keyring, subject_id),
        at=now,
        purpose=RIGHTS_PURPOSE,
        detail={"subject_id": subject_id, **by},
    )
    work.record(evidence(keyring.audit_key(subject_id), occurrence))


@dataclass(frozen=True, slots=True)
class Exporter:
    """What is kept about one person, read in one session."""

    session: Session
    keyring: Keyring
    subject_id: str
    now: datetime

    def stream(self, profile: Mapping[str, Any]) -> Iterator[bytes]:
        """The ZIP in pieces. `profile` is what the caller knows of the person beside all this."""
        sink = _Sink()
        with ZipFile(sink, "w", ZIP_DEFLATED) as archive:
            for name, lines in self._files(profile):
                with archive.open(ZipInfo(name, self.now.timetuple()[:6]), "w") as file:
                    for line in lines:
                        file.write(line)
                        yield sink.take()
                yield sink.take()
        yield sink.take()

    def _files(self, profile: Mapping[str, Any]) -> Iterator[tuple[str, Iterator[bytes]]]:
        manifest = {
            "format": EXPORT_FORMAT,
            "subject_id": self.subject_id,
            "exported_at": self.now,
            "profile": dict(profile),
        }
        yield "manifest.json", iter([as_json(manifest)])
        grant_ids = select(Consent.grant_id).where(Consent.subject_id == self.subject_id)
        for grant_id in self.session.exec(grant_ids.order_by(col(Consent.created_at))).all():
            record = consent_record(self.session, self.keyring, self.subject_id, grant_id)
            yield f"consents/{grant_id}.json", iter([as_json(record)])
        yield "sources.json", iter([as_json(self._sources())])
        yield "records.jsonl", self._records()
        yield "rights.json", iter([as_json(self._rights())])
        yield "timeline.json", iter([as_json(self._timeline())])
        contacts = contacts_of(self.session, self.keyring, self.subject_id, self.now)
        yield "contacts.json", iter([as_json([asdict(contact) for contact in contacts])])
        for right_id in self._complaints():
            record_bytes = complaint_record(self.session, self.keyring, self.subject_id, right_id)
            yield f"rights/{right_id}.json", iter([record_bytes])
        for table in data_metadata.sorted_tables:
            if "subject_id" in table.columns and table.name not in _TOLD | _SECRET:
                yield f"other/{table.name}.json", iter([as_json(self._rows(table))])
        yield "other/pending_record.json", iter([as_json(self._pending())])

    def _sources(self) -> list[dict[str, Any]]:
        rows = self.session.exec(
            select(SourceLink)
            .where(SourceLink.subject_id == self.subject_id)
            .order_by(col(SourceLink.given_at))
        ).all()
        return [
            {
                "link_id": row.link_id,
                "holder": organisation_of(self.session, row.holder_id),
                "record_types": record_types_of(self.keyring, row),
                "role": row.role,
                "given_at": row.given_at,
                "valid_until": row.valid_until,
                "ended_at": row.ended_at,
                "timeline": timeline_of(self.session, self.keyring, self.subject_id, [row.handle]),
            }
            for row in rows
        ]

    def _records(self) -> Iterator[bytes]:
        """Every version of every record, a line each; `data` is null for what was erased."""
        after = ""
        while page := self.session.exec(
            select(Record)
            .where(Record.subject_id == self.subject_id, col(Record.record_id) > after)
            .order_by(col(Record.record_id))
            .limit(_PAGE)
        ).all():
            for record in page:
                for version in self.session.exec(
                    select(RecordVersion)
                    .where(RecordVersion.record_id == record.record_id)
                    .order_by(col(RecordVersion.version))
                ):
                    yield orjson.dumps(self._record(record, version)) + b"\n"
            after = page[-1].record_id
            self.session.expunge_all()

    def _record(self, record: Record, version: RecordVersion) -> dict[str, Any]:
        return {
            "record_id": record.record_id,
            "version": version.version,
            "is_current": version.version == record.current_version,
            "record_type": record.record_type,
            "holder": record.holder_id,
            "schema_revision": version.schema_revision,
            "as_of": version.as_of,
            "received_at": version.received_at,
            "data": self._data(record, version),
        }

    def _data(self, record: Record, version: RecordVersion) -> dict[str, Any] | None:
        identity = RecordIdentity(
            record.record_id,
            version.version,
            record.subject_id,
            record.compartment_id,
            record.holder_id,
            record.record_type,
            version.schema_revision,
        )
        try:
            key = self.keyring.compartment_key(record.subject_id, record.compartment_id)
        except UnknownKeyError:
            return None
        return open_record(key, identity, version.ciphertext)

    def _rights(self) -> list[dict[str, Any]]:
        rights = rights_of(self.session, self.keyring, self.subject_id, self.now)
        return [asdict(right) for right in rights]

    def _timeline(self) -> list[dict[str, Any]]:
        """What concerns the person and no single consent or source: requests by right, exports, erasures."""
        of_rights = self.session.exec(
            select(RightRequest.handle).where(RightRequest.subject_id == self.subject_id)
        ).all()
        handles = [subject_handle(self.keyring, self.subject_id), *of_rights]
        return timeline_of(self.session, self.keyring, self.subject_id, handles)

    def _complaints(self) -> list[str]:
        wanted = select(RightRequest.right_id).where(
            RightRequest.subject_id == self.subject_id, col(RightRequest.record_sealed).is_not(None)
        )
        return list(self.session.exec(wanted))

    def _rows(self, table: Table) -> list[dict[str, Any]]:
        """The clear columns of further rows about the person: what is sealed for somebody else stays so."""
        shown = [column for column in table.columns if not isinstance(column.type, LargeBinary)]
        rows = self.session.execute(
            select_columns(*shown).where(table.columns["subject_id"] == self.subject_id)
        )
        return [dict(row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name

    def _pending(self) -> list[dict[str, Any]]:
        """That something is kept apart, and why: whose it is is not certain, so what is in it is not told."""
        rows = self.session.exec(
            select(PendingRecord).where(PendingRecord.subject_id == self.subject_id)
        ).all()
        return [
            {
                "holder": row.holder_id,
                "record_type": row.record_type,
                "rule": row.rule,
                "state": row.state,
                "received_at": row.received_at,
                "expires_at": row.expires_at,
            }
            for row in rows
        ]


class _Sink(RawIOBase):
    """Where the ZIP is written to: whoever reads takes it away again."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = bytearray()

    def write(self, content: Any) -> int:  # noqa: ANN401 - whatever offers a buffer
        self._waiting += content
        return len(content)

    def take(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken
