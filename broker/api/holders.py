"""What a holder delivers by itself: records of linked subjects, in the holder's own format."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from broker.api.errors import HolderDeliveryError, MediaTypeError
from broker.api.guards import HolderCaller
from broker.api.strict_body import is_json
from broker.db import transaction
from broker.deps import Installed, Now, read_body
from broker.installation import Installation
from broker.jobs.arriving import Outcome, take_in
from broker.jobs.keeping import divide, keep_contradicting, keep_faulty
from broker.strict_json import JsonFaultError, read_json
from connectors.errors import SourceRefusedError
from connectors.sources.base import ExportSource, Faulty, Header, SourceRecord
from connectors.sources.catalog import export_sources
from consent.errors import UnknownOrganisationError
from consent.organisations import require_holders
from consent.roles import Capability
from vault.errors import Fault

router = APIRouter(prefix="/v1/holders", tags=["holders"])

MOST_RECORDS: Final = 500
_BATCH: Final = 100
_MEMBERS: Final = frozenset({"header", "records"})


class ResultFault(BaseModel):
    """Why a record is refused or kept apart: where in it, in the holder's own field names, and which rule."""

    path: str
    rule: str


class RecordResult(BaseModel):
    """What became of one record; `held` waits for a person, `refused` must be mended and sent again.

    `warnings` refuse nothing: what looks wrong in a record and may be right, such as a check digit.
    """

    place: str
    outcome: Literal["added", "corrected", "unchanged", "held", "refused"]
    faults: list[ResultFault]
    warnings: list[ResultFault] = []


class Received(BaseModel):
    """What became of a delivery: one result for each record, in order, and how many of each kind."""

    counts: dict[str, int]
    results: list[RecordResult]


async def _read(request: Request, caller: HolderCaller, installation: Installed) -> bytes:
    del caller  # a stranger is told nothing about a body
    if not is_json(request.headers.get("content-type", "")):
        raise MediaTypeError
    return await read_body(request, limit=installation.settings.limits.body_bytes)


RawBody = Annotated[bytes, Depends(_read)]


@router.post(
    "/records",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["header", "records"],
                        "additionalProperties": False,
                        "properties": {
                            "header": {"type": "object"},
                            "records": {"type": "array", "maxItems": MOST_RECORDS},
                        },
                    }
                }
            },
        }
    },
)
def receive_records(caller: HolderCaller, raw: RawBody, installation: Installed, now: Now) -> Received:
    """Take what a holder pushes: `{"header", "records"}`, as its export has them.

    A record that is wrong is named and kept apart, and the others are taken. The same delivery again
    changes nothing.
    """
    installation.deployment.require(Capability.STORE)
    with installation.data.read() as session:
        try:
            require_holders(session, [caller.organisation_id])
        except UnknownOrganisationError:
            raise HolderDeliveryError([Fault("$", "not_a_holder")]) from None
    depth = installation.settings.limits.json_depth
    source, header, raw_records = _opened(raw, caller.organisation_id, depth=depth)
    found = [
        source.record_of(f"records[{number}]", raw_record, header, installation.catalogue)
        for number, raw_record in enumerate(raw_records)
    ]
    outcomes = _taken(installation, source.holder_id, found, now)
    results = [
        _refused(one) if isinstance(one, Faulty) else _result(one, outcomes[one.place]) for one in found
    ]
    return Received(counts=dict(Counter(result.outcome for result in results)), results=results)


def _opened(raw: bytes, holder_id: str, *, depth: int) -> tuple[ExportSource, Header, list[Any]]:
    """The source that reads this body, its checked header, its records. Raises HolderDeliveryError."""
    try:
        body = read_json(raw, depth=depth)
    except JsonFaultError as error:
        raise HolderDeliveryError([Fault("$", error.rule)]) from error
    if not isinstance(body, dict):
        raise HolderDeliveryError([Fault("$", "not_an_object")])
    header, records = body.get("header"), body.get("records")
    if body.keys() != _MEMBERS or not isinstance(header, dict) or not isinstance(records, list):
        raise HolderDeliveryError([Fault("$", "header_and_records_needed")])
    if not 0 < len(records) <= MOST_RECORDS:
        raise HolderDeliveryError([Fault("$.records", "number_of_records")])
    source = next(
        (one for one in export_sources() if (one.holder_id, one.format) == (holder_id, header.get("format"))),
        None,
    )
    if source is None:
        raise HolderDeliveryError([Fault("$.header.format", "unknown_format")])
    try:
        return source, source.header_of(header, "header"), records
    except SourceRefusedError as error:
        faults = [Fault(f"$.header{fault.path.removeprefix('$')}", fault.rule) for fault in error.faults]
        raise HolderDeliveryError(faults) from error


def _taken(
    installation: Installation, holder_id: str, found: list[SourceRecord | Faulty], now: datetime
) -> dict[str, Outcome]:
    """Take what is certain, keep apart the rest; what became of each record without faults, by its place."""
    good, at_odds = divide(one for one in found if isinstance(one, SourceRecord))
    faulty = [one for one in found if isinstance(one, Faulty)]
    outcomes: list[Outcome] = []
    for start in range(0, len(found), _BATCH):
        batch = slice(start, start + _BATCH)
        # Each batch is a commit of its own: what is kept stays, should the connection break.
        with transaction(installation.data) as work:
            outcomes += take_in(work, installation, good[batch], holder_id=holder_id, origin="push", now=now)
            outcomes += keep_contradicting(
                work, installation, at_odds[batch], holder_id=holder_id, origin="push", now=now
            )
            keep_faulty(work, installation, faulty[batch], holder_id=holder_id, origin="push", now=now)
    return {outcome.place: outcome for outcome in outcomes}


def _refused(faulty: Faulty) -> RecordResult:
    faults = [ResultFault(path=fault.path, rule=fault.rule) for fault in faulty.faults]
    return RecordResult(place=faulty.place, outcome="refused", faults=faults)


def _result(record: SourceRecord, outcome: Outcome) -> RecordResult:
    faults = [] if outcome.rule is None else [ResultFault(path="$", rule=outcome.rule)]
    warnings = [ResultFault(path=doubt.path, rule=doubt.rule) for doubt in record.doubts]
    return RecordResult(place=outcome.place, outcome=outcome.what, faults=faults, warnings=warnings)
