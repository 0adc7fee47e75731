"""The catalogue of sources: which holders we can read, and which of them an export file is from."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from connectors.errors import SourceRefusedError
from connectors.sources.bank import bank_source
from connectors.sources.base import ExportSource, Source, first_object
from connectors.sources.city_hall import fixed_date_source, identity_source, licence_source
from connectors.sources.court_registry import registry_source
from connectors.sources.credit_bureau import credit_source
from connectors.sources.csv_file import CsvSource, encoding_of, header_of
from connectors.sources.employment_office import employment_source
from connectors.sources.hospital import hospital_source
from connectors.sources.hospital_documents import details_source, prescriptions_source
from connectors.sources.insurance_register import register_source
from connectors.sources.pharmacy import pharmacy_source
from connectors.sources.tax_office import clearance_source, income_source
from vault.errors import Fault

SEOUL_HOSPITAL: Final = hospital_source("seoul-hospital", "11100079")
SEOUL_HOSPITAL_DETAILS: Final = details_source("seoul-hospital", "11100079")
SEOUL_HOSPITAL_PRESCRIPTIONS: Final = prescriptions_source("seoul-hospital", "11100079")
HANBIT_PHARMACY: Final = pharmacy_source("hanbit-pharmacy", "11810023")
INSURANCE_REGISTER: Final = register_source("insurance-register", "IR00000001")
INCOME_CERTIFICATES: Final = income_source("tax-office", "NT00000001")
TAX_CLEARANCES: Final = clearance_source("tax-office", "NT00000001")
EMPLOYMENT_HISTORIES: Final = employment_source("employment-office", "EI00000001")
HANBIT_BANK: Final = bank_source("hanbit-bank", "BK00000001")
CREDIT_REPORTS: Final = credit_source("credit-bureau", "CB00000001")
PROPERTY_REGISTRY: Final = registry_source("court-registry", "RG00000001")
IDENTITIES: Final = identity_source("city-hall", "CH00000001")
FIXED_DATES: Final = fixed_date_source("city-hall", "CH00000001")
AGENT_LICENCES: Final = licence_source("city-hall", "CH00000001")

_CSV_MAPPINGS: Final = ("hanbit_clinic.json",)


def all_sources() -> tuple[Source, ...]:
    """Every source, in the order in which they are shown."""
    return (*export_sources(), *csv_sources())


def export_sources() -> tuple[ExportSource, ...]:
    """The sources of holders with a format of header and records: these can also push, and be asked."""
    return (
        SEOUL_HOSPITAL,
        SEOUL_HOSPITAL_DETAILS,
        SEOUL_HOSPITAL_PRESCRIPTIONS,
        HANBIT_PHARMACY,
        INSURANCE_REGISTER,
        INCOME_CERTIFICATES,
        TAX_CLEARANCES,
        EMPLOYMENT_HISTORIES,
        HANBIT_BANK,
        CREDIT_REPORTS,
        PROPERTY_REGISTRY,
        IDENTITIES,
        FIXED_DATES,
        AGENT_LICENCES,
    )


def csv_sources() -> tuple[CsvSource, ...]:
    """The sources of holders that export CSV, read from their mapping files."""
    return tuple(CsvSource.load(name) for name in _CSV_MAPPINGS)


def sources_of(holder_id: str, record_types: Collection[str]) -> tuple[ExportSource, ...]:
    """The sources by which a holder's answers and pushes of these record types are read."""
    return tuple(
        source
        for source in export_sources()
        if source.holder_id == holder_id and source.record_type in record_types
    )


def institutions() -> dict[str, str]:
    """The holder of each medical institution that we can read, by institution number (HIRA)."""
    known = [
        *((source.institution_no, source.holder_id) for source in export_sources()),
        *((source.institution_no, source.holder_id) for source in csv_sources()),
    ]
    return {number: holder_id for number, holder_id in known if number is not None}


def source_of(path: Path) -> Source:
    """The source that a file says it is from. Raises SourceRefusedError."""
    if path.suffix.lower() == ".csv":
        return _csv_source_of(path)
    told = first_object(path).get("format")
    for source in export_sources():
        if source.format == told:
            return source
    raise SourceRefusedError(path.name, [Fault("$.format", "unknown_format")])


def _csv_source_of(path: Path) -> CsvSource:
    """The source that knows most of a file's columns; which are unknown to it, reading will say."""
    names = set(header_of(path, encoding_of(path)))
    best = max(csv_sources(), key=lambda source: len(names & source.column_names))
    if names.isdisjoint(best.column_names):
        raise SourceRefusedError(path.name, [Fault("$", "unknown_format")])
    return best
