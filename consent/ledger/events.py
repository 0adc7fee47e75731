"""Events as the log tells them: a stored leaf, read back for people who audit."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from consent.ledger.errors import LeafInvalidError


@dataclass(frozen=True, slots=True)
class Event:
    """What a leaf says. Who it was about, and the detail, lie sealed beside the leaf."""

    type: str
    at: datetime
    handle: str
    recipient: str | None
    purpose: str | None
    facts: Mapping[str, str | int]
    commitment: bytes

    @classmethod
    def from_leaf(cls, leaf: bytes) -> Self:
        """Read a leaf that `Entry.leaf` wrote. Raises LeafInvalidError."""
        try:
            content: dict[str, Any] = json.loads(leaf)
            if content["v"] != 1:
                raise LeafInvalidError
            return cls(
                type=content["type"],
                at=datetime.fromisoformat(content["at"]),
                handle=content["handle"],
                recipient=content.get("recipient"),
                purpose=content.get("purpose"),
                facts=content["facts"],
                commitment=base64.urlsafe_b64decode(content["c"] + "="),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LeafInvalidError from error
