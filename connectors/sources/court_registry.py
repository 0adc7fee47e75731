"""등기소: entries of the property registry from the export of its system, in its own field names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from connectors.sources.base import ExportSource, Person
from connectors.sources.mapping import Column, Rows, coded, day, flag, identifier, person_name, text, whole
from connectors.sources.organisation_export import organisation_source, without

KINDS: Final = MappingProxyType({"1": "land", "2": "building", "3": "unit"})
OWNERSHIP: Final = MappingProxyType(
    {
        "01": "preservation",
        "02": "transfer",
        "03": "attachment",
        "04": "provisional_attachment",
        "05": "provisional",
        "06": "auction",
        "07": "trust",
        "99": "other",
    }
)
RIGHTS: Final = MappingProxyType({"1": "mortgage", "2": "jeonse", "3": "lease", "9": "other"})

_REGISTRY: Final = (
    Column("OWNR_NO", "owner_no", identifier),
    Column("OWNR_NM", "owner_name", person_name),
    Column("REAL_NO", "unique_no", text),
    Column("REAL_GB", "kind", coded(KINDS)),
    Column("ADDR", "address", text),
    Column("AREA", "title.area", text),
    Column("GUJO", "title.structure", text, is_required=False),
    Column("YONGDO", "title.use", text, is_required=False),
    Rows(
        "GAPGU",
        "ownership",
        (
            Column("SUNWI", "rank", text),
            Column("MOKJEOK", "kind", coded(OWNERSHIP)),
            Column("WONIN", "cause", text, is_required=False),
            Column("REG_YMD", "registered_on", day),
            Column("GWONRI", "party", text),
            Column("JIBUN", "share", text, is_required=False),
            Column("MALSO_YN", "is_cancelled", flag),
        ),
    ),
    Rows(
        "EULGU",
        "encumbrances",
        (
            Column("SUNWI", "rank", text),
            Column("GWONRI_GB", "right", coded(RIGHTS)),
            Column("CHAEGWON_AMT", "amount", whole),
            Column("GWONRI", "party", text),
            Column("REG_YMD", "registered_on", day),
            Column("MALSO_YN", "is_cancelled", flag),
        ),
    ),
    Column("ISS_YMD", "issued_on", day),
)


def registry_source(holder_id: str, org_code: str) -> ExportSource:
    """The source of a registry's entries."""
    return organisation_source(
        holder_id=holder_id,
        org_code=org_code,
        export_format="court-registry-export",
        record_type="realestate.registry",
        table=_REGISTRY,
        assemble=_assemble,
    )


def _assemble(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    """A property belongs to whoever owns it now, as the registry itself says."""
    del header
    owner = Person(mapped.get("owner_no", ""), mapped.get("owner_name"))
    return owner, without(mapped, "owner_no", "owner_name")
