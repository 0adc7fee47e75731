"""`GET /v1/statistics`: for auditors and operators, and without small cells."""

import pytest

from tests.api.conftest import Office

PATH = "/v1/statistics"


def test_nobody_else_reads_them(small_office: Office) -> None:
    strangers = [
        {},
        {"Cookie": "sid=unknown"},
        {"Authorization": f"DPoP {small_office.own_token()}"},
        small_office.sign_in("citizen"),
    ]
    for headers in strangers:
        assert small_office.http.get(PATH, headers=headers).status_code == 401


@pytest.mark.parametrize("role", ["auditor", "operator"])
def test_small_numbers_are_left_out(small_office: Office, role: str) -> None:
    small_office.grant()
    headers = small_office.sign_in("auditor" if role == "auditor" else "operator")
    told = small_office.http.get(PATH, headers=headers).json()
    assert told["smallestCell"] == 10
    assert told["activeAuthorisationCount"]["total"] is None
    assert told["total"]["deliveryCount"] == 0
    assert [row["month"] for row in told["byMonthAndPurpose"]] == ["2026-12"]
