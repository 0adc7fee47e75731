"""Events as the log tells them: a stored leaf, read back for people who audit."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from consent.ledger.entries import Entry
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
        """Read a leaf. Raises LeafInvalidError unless it is, byte for byte, one that `Entry.leaf` writes."""
        try:
            content: dict[str, Any] = json.loads(leaf)
            event = cls(
                type=content["type"],
                at=datetime.fromisoformat(content["at"]),
                handle=content["handle"],
                recipient=content.get("recipient"),
                purpose=content.get("purpose"),
                facts=content["facts"],
                commitment=base64.urlsafe_b64decode(content["c"] + "="),
            )
            rewritten = event._rewritten()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LeafInvalidError from error
        if rewritten != leaf:
            raise LeafInvalidError
        return event

    def _rewritten(self) -> bytes:
        return Entry(
            type=self.type,
            at=self.at,
            handle=self.handle,
            recipient=self.recipient,
            purpose=self.purpose,
            facts=self.facts,
            commitment=self.commitment,
            detail_sealed=b"",
        ).leaf()
