"""은행: accounts and their balances from the export of a bank's system, in its own field names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from connectors.sources.base import ExportSource, Person
from connectors.sources.mapping import Column, coded, day, flag, identifier, signed, text
from connectors.sources.organisation_export import organisation_source, without

KINDS: Final = MappingProxyType(
    {"1": "current", "2": "deposit", "3": "savings", "4": "subscription", "9": "other"}
)

_ACCOUNT: Final = (
    Column("CUST_NO", "customer_no", identifier),
    Column("BANK_CD", "bank_code", text),
    Column("BANK_NM", "bank_name", text),
    Column("ACCT_NO", "account_no", text),  # thirteen digits of some banks look like a resident's number
    Column("ACCT_NM", "account_holder", text),
    Column("ACCT_GB", "kind", coded(KINDS)),
    Column("CUR_CD", "currency", text),
    Column("BAL_AMT", "balance", signed),
    Column("JOINT_YN", "co_held", flag),
    Column("BASE_YMD", "as_of", day),
)


def bank_source(holder_id: str, org_code: str) -> ExportSource:
    """The source of a bank's accounts."""
    return organisation_source(
        holder_id=holder_id,
        org_code=org_code,
        export_format="hanbit-bank-export",
        record_type="finance.account",
        table=_ACCOUNT,
        assemble=_assemble,
    )


def _assemble(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    del header
    owner = Person(mapped.get("customer_no", ""), mapped.get("account_holder"))
    return owner, without(mapped, "customer_no")
