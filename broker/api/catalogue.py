"""The catalogue: record types with schema and example, purposes with caps and texts. Open to everybody."""

from typing import Any

from fastapi import APIRouter

from broker.deps import Installed, Read
from broker.oauth import clients
from consent.disclosure import instant
from consent.errors import NotFoundError
from consent.organisations import organisations
from consent.revisions import text_of
from consent.terms import DETAIL_TYPE, Terms
from vault.record_types.catalogue import RecordType

router = APIRouter(prefix="/v1/catalogue", tags=["catalogue"])


@router.get("/record-types")
def list_record_types(installation: Installed) -> list[dict[str, Any]]:
    """Every record type: code, names, sensitivity, revision."""
    return [_summary(installation.catalogue.get(code)) for code in installation.catalogue.codes()]


@router.get("/record-types/{code}")
def show_record_type(code: str, installation: Installed) -> dict[str, Any]:
    """One record type with its fields, the predicates that can be asked of it, JSON Schema and an example."""
    record_type = installation.catalogue.get(code)
    return {
        **_summary(record_type),
        "description": dict(record_type.description),
        "fields": {
            name: {"label": dict(field.label), "description": dict(field.description)}
            for name, field in record_type.fields.items()
        },
        "filters": {
            name: path if isinstance(path, str) else dict(path) for name, path in record_type.filters.items()
        },
        "predicates": dict(record_type.predicates),
        "schema": dict(record_type.schema),
        "example": dict(record_type.example),
    }


@router.get("/purposes")
def list_purposes(installation: Installed) -> list[dict[str, Any]]:
    """Every purpose with its caps and texts."""
    return [purpose.model_dump(mode="json") for purpose in installation.purposes.all()]


@router.get("/purposes/{code}")
def show_purpose(code: str, installation: Installed) -> dict[str, Any]:
    """One purpose: at most this may be asked, and this is what the person reads."""
    return installation.purposes.get(code).model_dump(mode="json")


@router.get("/recipients")
def list_recipients(session: Read) -> list[dict[str, Any]]:
    """The registry of recipients: who they are, how they stand, and for which purposes they may ask."""
    return [
        {
            "organisation_id": row.organisation_id,
            "name": {"ko": row.name_ko, "en": row.name_en},
            "registration_number": row.registration_number,
            "contact": row.contact,
            "status": row.status,
            "purposes": sorted(clients.purposes_of(session, row.organisation_id)),
        }
        for row in organisations(session)
        if row.is_recipient
    ]


@router.get("/notices/{digest}")
def show_notice(digest: str, session: Read) -> dict[str, Any]:
    """A text that people were shown, by the SHA-256 that receipts name, whatever it reads now."""
    try:
        row = text_of(session, bytes.fromhex(digest))
    except ValueError as error:
        raise NotFoundError from error
    return {
        "sha256": row.digest.hex(),
        "purpose": row.purpose,
        "language": row.language,
        "revision": row.revision,
        "is_material": row.is_material,
        "predecessor": None if row.predecessor_digest is None else row.predecessor_digest.hex(),
        "published_at": instant(row.published_at),
        "canonical": row.text,
    }


@router.get(f"/authorization-details-types/{DETAIL_TYPE}")
def show_detail_type() -> dict[str, Any]:
    """The JSON Schema of our authorization details type (RFC 9396)."""
    return {"type": DETAIL_TYPE, "schema": Terms.model_json_schema(by_alias=True)}


def _summary(record_type: RecordType) -> dict[str, Any]:
    return {
        "code": record_type.code,
        "revision": record_type.revision,
        "sensitivity": record_type.sensitivity,
        "label": dict(record_type.labels),
    }
