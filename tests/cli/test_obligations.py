"""`mydata obligation list`: what is owed and what is late, without a name."""

from datetime import timedelta

from broker.installation import Installation
from tests.cli.conftest import Mydata
from tests.consent.keeping import Keeper
from tests.consent.office import RECIPIENT, open_office
from tests.installation import Clock


def test_the_operator_sees_what_is_late_and_nobody_by_name(
    mydata: Mydata, sqlite_installation: Installation, clock: Clock
) -> None:
    keeper = Keeper(open_office(sqlite_installation, clock))
    assert mydata("obligation", "list", "-o", "json").json() == []
    late, kept = keeper.agree(), keeper.agree()
    for grant_id in (late, kept):
        keeper.deliver(grant_id)
    keeper.office.withdraw(late)
    clock.advance(timedelta(days=4))
    keeper.check(late)
    every = mydata("obligation", "list", "-o", "json")
    assert [row["grant_id"] for row in every.json()] == [late, kept]
    (row,) = mydata("obligation", "list", "--overdue", "-o", "json").json()
    assert (row["grant_id"], row["state"], row["cause"]) == (late, "OVERDUE", "withdrawn")
    assert row["recipient"] == RECIPIENT
    assert keeper.office.subject_id not in every.out
    assert "OVERDUE" in mydata("obligation", "list").out
