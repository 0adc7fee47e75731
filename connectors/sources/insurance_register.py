"""보험계약정보원: indemnity policies from the export of the insurance register, in its own field names."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from connectors.sources.base import ExportSource, Person
from connectors.sources.mapping import Column, coded, coded_list, day, identifier, text, whole
from connectors.sources.organisation_export import organisation_source, without

FORMAT: Final = "insurance-register-export"

COVERAGES: Final = MappingProxyType(
    {
        "11": "covered_injury",
        "12": "covered_illness",
        "21": "noncovered_injury",
        "22": "noncovered_illness",
        "30": "noncovered_special",
    }
)
STATUSES: Final = MappingProxyType({"1": "active", "2": "lapsed", "3": "ended"})

_POLICY: Final = (
    Column("MBR_NO", "member_no", identifier),
    Column("INSR_CD", "insurer_code", text),
    Column("INSR_NM", "insurer_name", text),
    Column("POL_NO", "policy_no", identifier),
    Column("GDS_NM", "product_name", text),
    Column("GEN_GB", "generation", whole),
    Column("CTR_YMD", "contract_date", day),
    Column("END_YMD", "end_date", day),
    Column("COV_CDS", "coverages", coded_list(COVERAGES)),
    Column("LMT_COV_ONCE", "limits.covered_per_visit", whole),
    Column("LMT_NC_ONCE", "limits.noncovered_per_visit", whole),
    Column("LMT_COV_YR", "limits.covered_per_year", whole),
    Column("LMT_NC_YR", "limits.noncovered_per_year", whole),
    Column("LMT_NC_CNT", "limits.noncovered_visits_per_year", whole),
    Column("YR_FR_YMD", "ytd_used.year_from", day),
    Column("YR_TO_YMD", "ytd_used.year_to", day),
    Column("USE_COV_AMT", "ytd_used.covered", whole),
    Column("USE_NC_AMT", "ytd_used.noncovered", whole),
    Column("USE_NC_CNT", "ytd_used.noncovered_visits", whole),
    Column("USE_OWN_AMT", "ytd_used.inpatient_own_share", whole, is_required=False),
    Column("USE_MT_AMT", "ytd_used.manual_therapy.paid", whole, is_required=False),
    Column("USE_MT_CNT", "ytd_used.manual_therapy.sessions", whole, is_required=False),
    Column("USE_INJ_AMT", "ytd_used.injection.paid", whole, is_required=False),
    Column("USE_INJ_CNT", "ytd_used.injection.sessions", whole, is_required=False),
    Column("USE_MRI_AMT", "ytd_used.mri.paid", whole, is_required=False),
    Column("USE_MRI_CNT", "ytd_used.mri.sessions", whole, is_required=False),
    Column("INSD_NM", "insured.name", text),
    Column("ST_CD", "status", coded(STATUSES)),
)


def register_source(holder_id: str, org_code: str) -> ExportSource:
    """The source of the register; a file of another organisation is refused."""
    return organisation_source(
        holder_id=holder_id,
        org_code=org_code,
        export_format=FORMAT,
        record_type="insurance.indemnity_policy",
        table=_POLICY,
        assemble=_assemble,
    )


def _assemble(header: Mapping[str, Any], mapped: dict[str, Any]) -> tuple[Person, dict[str, Any]]:
    del header
    data = without(mapped, "member_no")
    # Older contracts do not tell what the special kinds of care have used.
    data["ytd_used"] = {name: used for name, used in mapped["ytd_used"].items() if used != {}}
    return Person(mapped.get("member_no", ""), mapped["insured"].get("name")), data
