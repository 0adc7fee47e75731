"""신용정보회사: reports of loans from the export of its system, in its own field names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from connectors.sources.base import ExportSource, Person
from connectors.sources.mapping import Column, Rows, coded, day, identifier, text, whole
from connectors.sources.organisation_export import organisation_source

KINDS: Final = MappingProxyType(
    {"100": "credit", "200": "mortgage", "300": "deposit", "400": "student", "500": "card", "900": "other"}
)

_REPORT: Final = (
    Column("CB_NO", "credit_no", identifier),
    Column("CB_NM", "name", text),
    Column("BASE_YMD", "as_of", day),
    Rows(
        "DAECHUL",
        "loans",
        (
            Column("ORG_NM", "lender", text),
            Column("LN_CD", "kind", coded(KINDS)),
            Column("LN_AMT", "principal", whole),
            Column("BAL_AMT", "balance", whole),
            Column("OPEN_YMD", "opened_on", day),
            Column("DUE_YMD", "matures_on", day),
            Column("YEONCHE_AMT", "overdue_amount", whole),
        ),
    ),
    Column("YEONCHE_TOT", "overdue_amount", whole),
)


def credit_source(holder_id: str, org_code: str) -> ExportSource:
    """The source of a bureau's reports."""
    return organisation_source(
        holder_id=holder_id,
        org_code=org_code,
        export_format="credit-bureau-export",
        record_type="credit.loan_balance",
        table=_REPORT,
        assemble=_assemble,
    )


def _assemble(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    del header
    return Person(mapped.get("credit_no", ""), mapped.get("name")), mapped
