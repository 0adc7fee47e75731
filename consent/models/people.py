"""People, and the organisations they deal with."""

from datetime import datetime

from sqlmodel import Field

from vault.schema import Instant, Row


class Subject(Row, table=True):
    """A citizen. The id is ours and random; nothing here identifies a person."""

    subject_id: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=Instant)


class Organisation(Row, table=True):
    """A party that is not a person: a recipient, a holder, or both."""

    organisation_id: str = Field(primary_key=True)
    name_ko: str
    name_en: str
    registration_number: str
    contact: str
    is_recipient: bool
    is_holder: bool
    status: str
    created_at: datetime = Field(sa_type=Instant)
