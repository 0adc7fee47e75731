"""What the exports of public registers and banks have in common: a header that names the organisation."""

from collections.abc import Mapping
from typing import Any, Final

from connectors.sources.base import Assemble, ExportSource
from connectors.sources.mapping import Column, Table, day, text
from vault.errors import Fault

VERSION: Final = 1

HEADER: Final = (
    Column("exported_on", "exported_on", day),
    Column("org_code", "org_code", text),
)


def organisation_source(  # noqa: PLR0913 - whose export, in which format, of what, and how it is read
    *,
    holder_id: str,
    org_code: str,
    export_format: str,
    record_type: str,
    table: Table,
    assemble: Assemble,
) -> ExportSource:
    """The source of one organisation's export; a file of another organisation is refused."""

    def only_own(header: Mapping[str, Any]) -> list[Fault]:
        return [] if header["org_code"] == org_code else [Fault("$.org_code", "foreign_institution")]

    return ExportSource(
        format=export_format,
        version=VERSION,
        holder_id=holder_id,
        record_type=record_type,
        header_table=HEADER,
        table=table,
        check_header=only_own,
        assemble=assemble,
    )


def without(mapped: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A mapped line without the members that only tell whose it is."""
    return {name: value for name, value in mapped.items() if name not in names}
