"""시청: identities, fixed dates of leases, and estate agents, from its exports in their own field names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from connectors.sources.base import ExportSource, Person
from connectors.sources.mapping import (
    Column,
    Rows,
    business_number,
    coded,
    day,
    identifier,
    person_name,
    text,
    whole,
)
from connectors.sources.organisation_export import organisation_source, without

NATIONALITIES: Final = MappingProxyType({"1": "korean", "2": "overseas_korean", "3": "foreigner"})
ROLES: Final = MappingProxyType({"1": "lessor", "2": "lessee"})
AGENT_STATUSES: Final = MappingProxyType({"1": "open", "2": "suspended", "3": "closed", "4": "revoked"})

_IDENTITY: Final = (
    Column("REG_NO", "register_no", identifier),
    Column("NM", "name", text),
    Column("BIRTH_YMD", "birth_date", day),
    Column("GUKJEOK_GB", "nationality", coded(NATIONALITIES)),
    Column("ZIP", "address.postal_code", text),
    Column("ADDR", "address.road_address", text),
    Column("ISS_YMD", "issued_on", day),
)

_FIXED_DATE: Final = (
    Column("OWNR_NO", "resident_no", identifier),
    Column("OWNR_NM", "resident_name", person_name),
    Column("HWAKJEONG_NO", "number", identifier),
    Column("HWAKJEONG_YMD", "granted_on", day),
    Column("ADDR", "object.address", text),
    Column("BUBUN", "object.part", text, is_required=False),
    Column("REAL_NO", "object.unique_no", text, is_required=False),
    Column("BOJEUNG_AMT", "deposit", whole),
    Column("WOLSE_AMT", "monthly_rent", whole),
    Column("FR_YMD", "period.from", day),
    Column("TO_YMD", "period.to", day),
    Column("END_YMD", "ended_on", day, is_required=False),
    Rows(
        "DANGSAJA",
        "parties",
        (Column("GB", "role", coded(ROLES)), Column("NM", "name", text)),
    ),
    Column("GIGWAN_NM", "office", text),
)

_LICENCE: Final = (
    Column("AGENT_NO", "resident_no", identifier),
    Column("LIC_NO", "licence_no", identifier),
    Column("NM", "name", text),
    Column("OFFICE_NM", "office.name", text),
    Column("OFFICE_NO", "office.registration_no", text),
    Column("BIZ_NO", "office.brn", business_number),
    Column("ADDR", "office.address", text),
    Column("ST_CD", "status", coded(AGENT_STATUSES)),
    Column("REG_YMD", "registered_on", day),
    Column("BOJEUNG_YMD", "insured_until", day),
)


def identity_source(holder_id: str, org_code: str) -> ExportSource:
    """The source of a hall's register of people."""
    return organisation_source(
        holder_id=holder_id,
        org_code=org_code,
        export_format="city-hall-identity-export",
        record_type="person.identity",
        table=_IDENTITY,
        assemble=_identity,
    )


def fixed_date_source(holder_id: str, org_code: str) -> ExportSource:
    """The source of a hall's fixed dates; each belongs to the owner of the home, who may ask for it."""
    return organisation_source(
        holder_id=holder_id,
        org_code=org_code,
        export_format="city-hall-fixed-date-export",
        record_type="realestate.fixed_date",
        table=_FIXED_DATE,
        assemble=_owned,
    )


def licence_source(holder_id: str, org_code: str) -> ExportSource:
    """The source of a hall's estate agents."""
    return organisation_source(
        holder_id=holder_id,
        org_code=org_code,
        export_format="city-hall-agent-export",
        record_type="realestate.agent_licence",
        table=_LICENCE,
        assemble=_licence,
    )


def _identity(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    del header
    return Person(mapped.get("register_no", ""), mapped.get("name"), mapped.get("birth_date")), mapped


def _owned(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    del header
    owner = Person(mapped.get("resident_no", ""), mapped.get("resident_name"))
    return owner, without(mapped, "resident_no", "resident_name")


def _licence(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    del header
    return Person(mapped.get("resident_no", ""), mapped.get("name")), without(mapped, "resident_no")
