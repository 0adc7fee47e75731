"""세무서: certificates of income and tax clearances from the export of its system, in its own field names."""

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
    flag,
    identifier,
    text,
    whole,
)
from connectors.sources.organisation_export import organisation_source, without

INCOME_TYPES: Final = MappingProxyType(
    {"10": "employment", "20": "business", "30": "pension", "40": "combined", "90": "other"}
)
AUTHORITIES: Final = MappingProxyType({"1": "national", "2": "local"})

_INCOME: Final = (
    Column("TXPR_NO", "taxpayer_no", identifier),
    Column("TXPR_NM", "name", text),
    Column("CERT_NO", "certificate_no", identifier),
    Column("GWISOK_YR", "year", whole),
    Column("SODEUK_CD", "income_type", coded(INCOME_TYPES)),
    Column("SODEUK_AMT", "amount", whole),
    Column("TAX_AMT", "tax", whole),
    Rows(
        "JIGEUP",
        "payers",
        (
            Column("CO_NM", "name", text),
            Column("BIZ_NO", "brn", business_number),
            Column("AMT", "amount", whole),
        ),
    ),
    Column("ISS_YMD", "issued_on", day),
)

_CLEARANCE: Final = (
    Column("TXPR_NO", "taxpayer_no", identifier),
    Column("TXPR_NM", "name", text),
    Column("CERT_NO", "certificate_no", identifier),
    Column("TAX_GB", "authority", coded(AUTHORITIES)),
    Column("CHENAP_YN", "arrears_exist", flag),
    Rows("YUYE", "deferrals", (Column("TAX_NM", "tax", text), Column("END_YMD", "until", day))),
    Column("ISS_YMD", "issued_on", day),
    Column("VALID_YMD", "valid_until", day),
)


def income_source(holder_id: str, org_code: str) -> ExportSource:
    """The source of an office's certificates of income."""
    return organisation_source(
        holder_id=holder_id,
        org_code=org_code,
        export_format="tax-office-income-export",
        record_type="income.certificate",
        table=_INCOME,
        assemble=_income,
    )


def clearance_source(holder_id: str, org_code: str) -> ExportSource:
    """The source of an office's tax clearances."""
    return organisation_source(
        holder_id=holder_id,
        org_code=org_code,
        export_format="tax-office-clearance-export",
        record_type="tax.clearance",
        table=_CLEARANCE,
        assemble=_clearance,
    )


def _income(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    del header
    data = without(mapped, "taxpayer_no")
    if "year" in mapped:  # the office tells the year alone
        data["period"] = {"from": f"{mapped['year']:04}-01-01", "to": f"{mapped['year']:04}-12-31"}
    return _taxpayer(mapped), data


def _clearance(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    del header
    return _taxpayer(mapped), without(mapped, "taxpayer_no")


def _taxpayer(mapped: Mapping[str, Any]) -> Person:
    return Person(mapped.get("taxpayer_no", ""), mapped.get("name"))
