"""Download everything: all that is kept about a person, after they have entered their password again.

A session that somebody left open must not be enough to carry everything away.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import Response, StreamingResponse

from broker.db import transaction
from broker.deps import Installed, Now
from broker.installation import Installation
from broker.web.csrf import OwnForm
from broker.web.rendering import PageOf
from broker.web.signin.accounts import confirm_password
from broker.web.signin.guards import Citizen, require_citizen
from consent.exporting import Exporter, record_export

router = APIRouter(prefix="/rights/export", dependencies=[Depends(require_citizen)])

_UNPROCESSABLE: Final = 422
_ZIP: Final = "application/zip"


@router.get("", name="export")
def show_export(page: PageOf) -> Response:
    """What the file holds, and the password that it needs."""
    return page.answer("citizen/export.html", has_failed=False)


@router.post("", name="export.post")
def post_export(page: PageOf, form: OwnForm, citizen: Citizen, installation: Installed, now: Now) -> Response:
    """The file, in pieces as they are read: it lies nowhere on the server."""
    if not confirm_password(installation.data, citizen.account_id, form.one("password") or "", now):
        return page.answer("citizen/export.html", status=_UNPROCESSABLE, has_failed=True)
    with transaction(installation.data) as work:
        record_export(work, installation.keyring, citizen.subject_id, staff=None, now=now)
    headers = {
        "Content-Disposition": f'attachment; filename="mydata-{now:%Y%m%d}.zip"',
        "Cache-Control": "no-store",
    }
    content = _stream(installation, citizen.subject_id, citizen.name, now)
    return StreamingResponse(content, media_type=_ZIP, headers=headers)


def _stream(installation: Installation, subject_id: str, name: str | None, now: datetime) -> Iterator[bytes]:
    with installation.data.read() as session:
        yield from Exporter(session, installation.keyring, subject_id, now).stream({"name": name})
