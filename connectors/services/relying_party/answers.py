"""Signed answers: what a broker says of records in the place of records, verified before it is believed.

A compact JWS (ES256, typ `mydata-answer+jwt`) over the answer and whom it was given to, in which delivery.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from connectors.services.relying_party.broker_client import Delivered
from connectors.services.relying_party.broker_keys import BrokerKeys
from vault.errors import UntrustedTokenError
from vault.jose import peek, verify_jwt

_TYPE: Final = "mydata-answer+jwt"
_COUNTED: Final = ("sub", "holders", "data_period")
_SORTED: Final = orjson.OPT_SORT_KEYS


class AnswerNotSignedError(Exception):
    """An answer that its broker did not give us in this delivery."""


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """One answer: yes, no, an object, or None where nothing says it; the day, the rule, and the proof.

    `asked` is the constant of a predicate; None for one without, and for a derivation. `counted` is over what
    it is: `sub`, who the person is to us, `holders`, and `data_period`.
    """

    asked: object
    answer: bool | Mapping[str, int | str] | None
    as_of: str
    rule: str
    signature: str
    counted: Mapping[str, object]


class Answers:
    """Verifies one broker's answers to one recipient (its organisation id)."""

    def __init__(self, issuer: str, recipient_id: str, keys: BrokerKeys) -> None:
        self._issuer = issuer
        self._recipient_id = recipient_id
        self._keys = keys

    def of(self, delivered: Delivered, record_type: str, purpose: str, now: datetime) -> SignedAnswer | None:
        """The one answer on a record type, for the purpose that we asked for; None if it was left off.

        Raises AnswerNotSignedError for what is not wholly the broker's word to us, KeysAwayError.
        """
        entries = delivered.records.get(record_type)
        if not entries:
            return None
        data = entries[0].get("data", {})
        signature = data.get("signature")
        if len(entries) != 1 or not isinstance(signature, str):
            raise AnswerNotSignedError
        try:
            header, _ = peek(signature)
            keys = self._keys.with_kid(header.get("kid"), now)
            _, claims = verify_jwt(signature, keys, algorithms=("ES256",), typ=_TYPE)
        except UntrustedTokenError:
            raise AnswerNotSignedError from None
        counted = {name: claims[name] for name in _COUNTED if claims.get(name)}
        if len(counted) < len(_COUNTED):
            raise AnswerNotSignedError
        expected = {
            **counted,
            **{name: value for name, value in data.items() if name != "signature"},
            "iss": self._issuer,
            "recipient": self._recipient_id,
            "grant_id": delivered.grant_id,
            "delivery_id": delivered.delivery_id,
            "record_type": record_type,
            "purpose": purpose,
        }
        # Compared as JSON: for Python alone, true and 1 are the same.
        if orjson.dumps(claims, option=_SORTED) != orjson.dumps(expected, option=_SORTED):
            raise AnswerNotSignedError
        asked = data.get("predicate", {}).get("value")
        return SignedAnswer(asked, data["answer"], data["as_of"], data["rule"], signature, counted)
