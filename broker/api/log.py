"""The consent log for anybody: checkpoint, key and hash tiles (C2SP tlog-tiles). Entries are for auditors."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response

from broker.api.guards import AuditorHere, require_auditor_here
from broker.deps import Installed, Now, Read
from broker.jobs.publishing import log_key, publish
from consent.auditing import EventView, events, head
from consent.ledger.checkpoint import newest_checkpoint
from consent.ledger.tiles import tile_bytes

router = APIRouter(prefix="/log", tags=["log"])
audit_router = APIRouter(prefix="/v1/audit", tags=["audit"], dependencies=[Depends(require_auditor_here)])

_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"
_MAX_PAGE: Final = 500
_MAX_INDEX: Final = 2**63 - 1  # what a column of the log can hold

Before = Annotated[int | None, Query(ge=0, le=_MAX_INDEX)]


@router.get("/checkpoint")
def show_checkpoint(installation: Installed, now: Now) -> Response:
    """The newest signed checkpoint (c2sp.org/tlog-checkpoint)."""
    with installation.data.read() as session:
        newest = newest_checkpoint(session)
    note = (newest or publish(installation, now)).note
    return Response(note, media_type=_TEXT, headers={"Cache-Control": "no-cache"})


@router.get("/key")
def show_key(installation: Installed) -> Response:
    """The verifier key (c2sp.org/signed-note)."""
    return Response(log_key(installation).vkey + "\n", media_type=_TEXT)


@router.get("/tile/entries/{path:path}")
def show_entries(path: str, auditor: AuditorHere, session: Read) -> Response:
    """A bundle of entries, for auditors."""
    del auditor
    return Response(tile_bytes(session, f"tile/entries/{path}"), media_type=_BYTES)


@router.get("/tile/{path:path}")
def show_tile(path: str, session: Read) -> Response:
    """A tile of hashes, full or partial."""
    return Response(tile_bytes(session, f"tile/{path}"), media_type=_BYTES)


@audit_router.get("/events")
def list_events(session: Read, before: Before = None, limit: int = 50) -> dict[str, object]:
    """Events, the newest first; `before` is the index to go on from."""
    found = events(session, before=before, limit=max(1, min(limit, _MAX_PAGE)))
    return {"events": [_event(view) for view in found], "next_before": found[-1].index if found else None}


@audit_router.get("/head")
def show_head(session: Read) -> dict[str, object]:
    """Size and root of the log as it is committed now."""
    now = head(session)
    return {"size": now.size, "root": now.root.hex(), "checkpoint": now.checkpoint}


def _event(view: EventView) -> dict[str, object]:
    return {
        "index": view.index,
        "type": view.type,
        "at": view.at.isoformat(),
        "handle": view.handle,
        "recipient": view.recipient,
        "purpose": view.purpose,
        "facts": dict(view.facts),
        "leaf_hash": view.leaf_hash.hex(),
    }
