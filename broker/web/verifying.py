"""Is this receipt genuine? Open to anybody, with no sign-in; what is pasted is neither kept nor logged.

Whoever does not want to trust this page takes the verifier with them: one file that needs nothing but Python.
"""

import io
import json
import zipfile
from importlib import resources
from typing import Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from broker.deps import Installed, Now
from broker.jobs.publishing import log_key
from broker.oauth.metadata import key_set
from broker.web.csrf import OwnForm
from broker.web.pace import Pace
from broker.web.rendering import Page, PageOf
from broker.web.signin.guards import read_visitor
from consent.ledger.verify import FalsifiedError, ReceiptReport, UncheckableError, verify_receipt_file

router = APIRouter(prefix="/verify", dependencies=[Depends(read_visitor)])  # it turns nobody away

_TOO_MANY: Final = 429
_UNPROCESSABLE: Final = 422
_VERIFIER: Final = "consent.ledger.verify"
_START: Final = "import sys\n\nfrom verify.__main__ import main\n\nsys.exit(main(sys.argv[1:]))\n"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the same program makes the same file


def new_pace() -> Pace:
    """How often a process checks."""
    return Pace(per_second=10, burst=20)


@router.get("", name="verify")
def show_verify(page: PageOf) -> Response:
    """Where to paste a receipt, and how to check without us."""
    return _page(page)


@router.post("", name="verify.post")
def post_verify(page: PageOf, form: OwnForm, installation: Installed, now: Now) -> Response:
    """Check a receipt or a bundle against the keys of this broker."""
    pace: Pace = page.request.app.state.verifying_pace
    if not pace.takes_one(now):
        fault = page.words.gettext("Too many receipts are being checked right now. Try again in a moment.")
        answer = _page(page, fault=fault, status=_TOO_MANY)
        answer.headers["Retry-After"] = "1"
        return answer
    unverified = (form.one("receipt") or "").encode()
    try:
        # Our own keys, whatever came with the file.
        report = verify_receipt_file(
            unverified, jwks=key_set(installation.keyring), vkey=log_key(installation).vkey
        )
    except FalsifiedError as error:
        return _page(page, falsified=str(error), status=_UNPROCESSABLE)
    except UncheckableError as error:
        return _page(page, unchecked=str(error), status=_UNPROCESSABLE)
    return _page(page, report=report)


@router.get("/verifier.pyz", name="verify.program")
def download_verifier() -> Response:
    """The verifier as one file: `python3 verifier.pyz FILE`. Standard library only."""
    headers = {"Content-Disposition": 'attachment; filename="verifier.pyz"'}
    return Response(verifier_archive(), media_type="application/zip", headers=headers)


def verifier_archive() -> bytes:
    """The folder `consent/ledger/verify` as a Python zip application."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _EPOCH), _START)
        folder = resources.files(_VERIFIER)
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".py"):
                archive.writestr(zipfile.ZipInfo(f"verify/{file.name}", _EPOCH), file.read_bytes())
    return content.getvalue()


def _page(page: Page, *, report: ReceiptReport | None = None, status: int = 200, **faults: str) -> Response:
    """`faults` are of these, at most one: `falsified` and `unchecked` by the verifier, `fault` in words."""
    shown = None if report is None else json.dumps(dict(report.claims), ensure_ascii=False, indent=2)
    told = {"falsified": None, "unchecked": None, "fault": None, **faults}
    return page.answer("verify.html", status=status, report=report, shown=shown, **told)
