"""The form that an agent fills in: read once, refused with every fault at its field."""

from collections.abc import Mapping
from typing import Final

from connectors.services.lease.findings import Home

_MOST_WON: Final = 100_000_000_000
_TEXTS: Final = {"address": 100, "landlord_name": 40, "tenant_name": 40}
_AMOUNTS: Final = {"deposit": 1, "rent": 0, "value": 1}


class FormFault(Exception):  # noqa: N818 - it is one
    """A form that is not complete: by field, what is wrong with it in words."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = dict(faults)
        super().__init__(", ".join(sorted(faults)))


def read_home(form: Mapping[str, str]) -> Home:
    """The home and the money of a new lease. Raises FormFault."""
    texts = {name: " ".join(form.get(name, "").split()) for name in _TEXTS}
    amounts = {name: _won(form.get(name, "")) for name in _AMOUNTS}
    faults = {
        name: "한 줄로 적어 주세요."
        for name, longest in _TEXTS.items()
        if not texts[name] or len(texts[name]) > longest or not texts[name].isprintable()
    }
    faults |= {
        name: "숫자로 적어 주세요."
        for name, least in _AMOUNTS.items()
        if amounts[name] is None or not least <= (amounts[name] or 0) <= _MOST_WON
    }
    if faults:
        raise FormFault(faults)
    return Home(
        address=texts["address"],
        deposit=amounts["deposit"] or 0,
        rent=amounts["rent"] or 0,
        value=amounts["value"] or 0,
        landlord_name=texts["landlord_name"],
        tenant_name=texts["tenant_name"],
    )


def _won(text: str) -> int | None:
    digits = text.replace(",", "").replace("원", "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 12 else None  # noqa: PLR2004 - of `_MOST_WON`
