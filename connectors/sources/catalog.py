"""The catalogue of sources: which holders we can read, and which of them an export file is from."""

from pathlib import Path
from typing import Final

from connectors.errors import SourceRefusedError
from connectors.sources.base import ExportSource, first_object
from connectors.sources.hospital import hospital_source
from connectors.sources.insurance_register import register_source
from vault.errors import Fault

SEOUL_HOSPITAL: Final = hospital_source("seoul-hospital", "11100079")
INSURANCE_REGISTER: Final = register_source("insurance-register", "IR00000001")


def all_sources() -> tuple[ExportSource, ...]:
    """Every source, in the order in which they are shown."""
    return (SEOUL_HOSPITAL, INSURANCE_REGISTER)


def source_of(path: Path) -> ExportSource:
    """The source that an export file says it is from. Raises SourceRefusedError."""
    told = first_object(path).get("format")
    for source in all_sources():
        if source.format == told:
            return source
    raise SourceRefusedError(path.name, [Fault("$.format", "unknown_format")])
