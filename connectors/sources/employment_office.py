"""고용센터: employment insurance histories from the export of its system, in its own field names."""

from collections.abc import Mapping
from typing import Any, Final

from connectors.sources.base import ExportSource, Person
from connectors.sources.mapping import Column, Rows, business_number, day, identifier, text, whole
from connectors.sources.organisation_export import organisation_source

_HISTORY: Final = (
    Column("INSD_NO", "insured_no", identifier),
    Column("INSD_NM", "name", text),
    Rows(
        "SAEOP",
        "workplaces",
        (
            Column("CO_NM", "name", text),
            Column("BIZ_NO", "brn", business_number),
            Column("CHWI_YMD", "acquired_on", day),
            Column("SANGSIL_YMD", "lost_on", day, is_required=False),
            Column("WK_HR", "weekly_hours", whole),
        ),
    ),
    Column("ISS_YMD", "issued_on", day),
)


def employment_source(holder_id: str, org_code: str) -> ExportSource:
    """The source of an office's histories."""
    return organisation_source(
        holder_id=holder_id,
        org_code=org_code,
        export_format="employment-office-export",
        record_type="employment.history",
        table=_HISTORY,
        assemble=_assemble,
    )


def _assemble(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    """Whoever has a workplace that they have not left is insured: the office does not say it by itself."""
    del header
    is_insured = any("lost_on" not in workplace for workplace in mapped["workplaces"])
    data = {**mapped, "status": "insured" if is_insured else "not_insured"}
    return Person(mapped.get("insured_no", ""), mapped.get("name")), data
