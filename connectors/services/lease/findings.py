"""What each person of a lease is shown, and nothing else: shaped from what the broker delivered. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from connectors.services.lease import deposit
from connectors.services.lease.asking import FIXED_DATE, IDENTITY, INCOME, LICENCE, REGISTRY, TAXES
from connectors.services.lease.deposit import Judgement, Record, Senior

Records = Mapping[str, Sequence[Mapping[str, Any]]]
_SUM: Final = "realestate.senior_deposits_total"


@dataclass(frozen=True, slots=True)
class Home:
    """What the contract says: the home, the money in won, and the names of both sides."""

    address: str
    deposit: int
    rent: int
    value: int
    landlord_name: str
    tenant_name: str


@dataclass(frozen=True, slots=True)
class EarlierLease:
    """An earlier lease of the home as a tenant may know it: no name, no part of the home."""

    granted_on: str
    deposit: int
    rent: int


@dataclass(frozen=True, slots=True)
class ForTenant:
    """What the tenant sees. None: nobody could tell."""

    owes_no_taxes: bool | None
    is_owner: bool
    senior_deposits: int | None
    earlier: tuple[EarlierLease, ...]
    judgement: Judgement | None


@dataclass(frozen=True, slots=True)
class ForLandlord:
    """What the landlord sees. `income_band` is None if the tenant left it off or nobody could tell."""

    name: str
    birth_date: str
    is_named_tenant: bool
    income_band: str | None
    income_is_enough: bool | None


@dataclass(frozen=True, slots=True)
class ForAgent:
    """What the agent sees: that the checks are there, and nothing of what they say."""

    tenant_is_checked: bool
    landlord_is_checked: bool
    agent_may_act: bool


def for_tenant(home: Home, landlord: Records, as_of: date) -> ForTenant:
    """From the landlord's delivery. A home that the registry does not have here has no owner and no sum."""
    title = _title(landlord, home.address)
    if title is None:
        return ForTenant(
            _yes(landlord, TAXES), is_owner=False, senior_deposits=None, earlier=(), judgement=None
        )
    leases, total = _leases(landlord, title, as_of)
    judgement = None
    if total is not None:
        senior = Senior(deposit.registered_before(title), total)
        judgement = deposit.judge(
            address=title["address"], deposit=home.deposit, value=home.value, senior=senior, title=title
        )
    return ForTenant(
        owes_no_taxes=_yes(landlord, TAXES),
        is_owner=deposit.owners(title) == {home.landlord_name},
        senior_deposits=total,
        earlier=leases,
        judgement=judgement,
    )


def for_landlord(home: Home, tenant: Records) -> ForLandlord:
    """From the tenant's delivery. Raises KeyError, IndexError without an identity, which is required."""
    identity = tenant[IDENTITY][0]["data"]
    return ForLandlord(
        name=identity["name"],
        birth_date=identity["birth_date"],
        is_named_tenant=identity["name"] == home.tenant_name,
        income_band=_band(tenant),
        income_is_enough=_yes(tenant, INCOME) if _rule(tenant, INCOME) != "income.band" else None,
    )


def for_agent(everything: Mapping[str, Records]) -> ForAgent:
    """From every delivery."""
    return ForAgent(
        tenant_is_checked=bool(everything["tenant"].get(IDENTITY)),
        landlord_is_checked=bool(everything["landlord"].get(REGISTRY)) and TAXES in everything["landlord"],
        agent_may_act=_yes(everything["agent"], LICENCE) is True,
    )


def _title(landlord: Records, address: str) -> Record | None:
    """The registry's record of the home, among several of the landlord's."""
    titles = [one["data"] for one in landlord.get(REGISTRY, ())]
    fitting = [title for title in titles if _lies_at(address, title["address"])]
    return max(fitting, key=lambda title: len(title["address"]), default=None)


def _lies_at(address: str, place: str) -> bool:
    """`바람길 7` is the place of `바람길 7, 201호`, and not of `바람길 71`."""
    return address == place or address.startswith((f"{place} ", f"{place},"))


def _leases(landlord: Records, title: Record, as_of: date) -> tuple[tuple[EarlierLease, ...], int | None]:
    """Earlier leases and what they come to; only the sum, where the landlord chose to tell no more."""
    entries = [one["data"] for one in landlord.get(FIXED_DATE, ())]
    if len(entries) == 1 and entries[0].get("derivation") == _SUM:
        answer = entries[0]["answer"]
        return (), None if answer is None else int(answer["total"])
    here = [entry for entry in entries if _is_of(entry, title)]
    standing = deposit.standing_leases(here, as_of)
    leases = tuple(
        EarlierLease(entry["granted_on"], int(entry["deposit"]), int(entry["monthly_rent"]))
        for entry in sorted(standing, key=lambda entry: str(entry["granted_on"]))
    )
    return leases, sum(lease.deposit for lease in leases)


def _is_of(entry: Record, title: Record) -> bool:
    number = entry["object"].get("unique_no")
    if number is not None:
        return bool(number == title["unique_no"])
    return _lies_at(entry["object"]["address"], title["address"])


def _rule(records: Records, record_type: str) -> str | None:
    entries = records.get(record_type, ())
    return None if not entries else entries[0]["data"].get("derivation")


def _yes(records: Records, record_type: str) -> bool | None:
    """The answer to a predicate; None where it is not known or was not given."""
    entries = records.get(record_type, ())
    answer = entries[0]["data"].get("answer") if entries else None
    return answer if isinstance(answer, bool) else None


def _band(records: Records) -> str | None:
    entries = records.get(INCOME, ())
    answer = entries[0]["data"].get("answer") if entries else None
    return str(answer["band"]) if isinstance(answer, dict) else None
