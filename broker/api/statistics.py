"""`GET /v1/statistics`: counts for auditors and operators, without small cells."""

from fastapi import APIRouter, Depends

from broker.api.guards import require_staff_here
from broker.deps import Installed, Read
from consent.counting import statistics

router = APIRouter(prefix="/v1/statistics", tags=["statistics"], dependencies=[Depends(require_staff_here)])


@router.get("")
def show_statistics(installation: Installed, session: Read) -> dict[str, object]:
    """Consents, abandoned flows, deliveries and refusals by month and purpose; null is suppressed."""
    return statistics(session, smallest=installation.settings.statistics.smallest_cell)
