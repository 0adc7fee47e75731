"""What handlers ask for: the installation, one transaction, the clock, a parsed form.

The transaction has `scope="function"`: it commits before the answer leaves, so no answer speaks of
what did not happen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from sqlmodel import Session
from starlette.exceptions import HTTPException

from broker.db import Transaction, transaction
from broker.installation import Installation

FORM_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"


class BadFormError(Exception):
    """A body that is no urlencoded form in UTF-8."""


class BodyTooLargeError(HTTPException):
    """A body over the limit, in bytes. An HTTPException, so that the framework does not hide it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"over {limit} bytes")


def get_installation(request: Request) -> Installation:
    """The installation that this app was created with."""
    installation: Installation = request.app.state.installation
    return installation


Installed = Annotated[Installation, Depends(get_installation)]


def get_now(installation: Installed) -> datetime:
    """One instant per request, aware and in UTC."""
    return installation.clock()


Now = Annotated[datetime, Depends(get_now)]


def open_transaction(installation: Installed) -> Iterator[Transaction]:
    """The request's one writing transaction; it begins at its first statement."""
    with transaction(installation.data) as work:
        yield work


def open_read(installation: Installed) -> Iterator[Session]:
    """A read-only session."""
    with installation.data.read() as session:
        yield session


Tx = Annotated[Transaction, Depends(open_transaction, scope="function")]
Read = Annotated[Session, Depends(open_read, scope="function")]


@dataclass(frozen=True, slots=True)
class FormData:
    """An urlencoded body: every value of every field, in the order it came."""

    values: dict[str, list[str]]

    def one(self, name: str) -> str | None:
        """The only value of a field; None if it is absent or came more than once."""
        found = self.values.get(name, [])
        return found[0] if len(found) == 1 else None

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return list(self.values.get(name, []))

    def repeated(self) -> list[str]:
        """The fields that came more than once."""
        return [name for name, found in self.values.items() if len(found) > 1]


async def read_form(request: Request, installation: Installed) -> FormData:
    """Read an urlencoded body within the size limit."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_MEDIA_TYPE:
        raise BadFormError
    raw = await read_body(request, limit=installation.settings.limits.body_bytes)
    try:
        pairs = parse_qsl(
            raw.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            errors="strict",
            max_num_fields=installation.settings.limits.parameters,
        )
    except ValueError as error:
        raise BadFormError from error
    values: dict[str, list[str]] = {}
    if any("\0" in text for pair in pairs for text in pair):
        raise BadFormError  # no text of ours has one, and PostgreSQL takes none
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return FormData(values)


Form = Annotated[FormData, Depends(read_form)]


async def read_body(request: Request, *, limit: int) -> bytes:
    """The request's body; raises BodyTooLargeError once it grows past `limit` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLargeError(limit)
    return bytes(body)
