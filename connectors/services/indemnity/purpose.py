"""The purpose declaration of the indemnity claim, as data for whoever registers purposes."""

import json
from importlib.resources import files
from typing import Any


def purpose() -> dict[str, Any]:
    """The declaration of `insurance.indemnity_claim`: what may be asked for at most, why, and the notice."""
    text = files("connectors.services.indemnity").joinpath("purpose.json").read_text(encoding="utf-8")
    declaration: dict[str, Any] = json.loads(text)
    return declaration
