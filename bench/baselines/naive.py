"""The same pull as one would write it first: a `def` handler, an ORM session, a JWT, a commit each.

Four queries, one ES256 verification, one record opened, one audit row: less than the broker does.
"""

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from fastapi import FastAPI, Header, HTTPException
from sqlalchemy import Engine, LargeBinary, MetaData, create_engine, insert, make_url
from sqlmodel import Field, Session, SQLModel, select

from broker.cli.opening import read_clock
from vault.errors import UntrustedTokenError
from vault.jose import generate_private_jwk, public_jwk, sign_with_jwk, verify_jwt
from vault.schema import Instant, random_id
from vault.seal import SealingKey, context_of, new_key, open_sealed, seal, unwrap_key, wrap_key

CONFIGURATION: Final = "BENCH_NAIVE"
PATH: Final = "/records"

_CLIENT: Final = "client"
_TYPE: Final = "at+jwt"


class _Table(SQLModel):
    metadata: ClassVar[MetaData] = MetaData()


class NaiveClient(_Table, table=True):
    """A recipient's software."""

    client_id: str = Field(primary_key=True)
    status: str


class NaiveOwner(_Table, table=True):
    """A person's key, wrapped."""

    owner_id: str = Field(primary_key=True)
    key_id: bytes = Field(sa_type=LargeBinary)
    wrapped: bytes = Field(sa_type=LargeBinary)


class NaiveConsent(_Table, table=True):
    """What a token stands for."""

    grant_id: str = Field(primary_key=True)
    owner_id: str
    client_id: str
    state: str


class NaiveRecord(_Table, table=True):
    """A sealed record."""

    record_id: str = Field(primary_key=True)
    owner_id: str = Field(index=True)
    sealed: bytes = Field(sa_type=LargeBinary)


class NaiveAudit(_Table, table=True):
    """What was answered."""

    audit_id: int | None = Field(default=None, primary_key=True)
    grant_id: str
    client_id: str
    at: datetime = Field(sa_type=Instant)


@dataclass(frozen=True, slots=True)
class NaiveConfiguration:
    """What the naive server is told, as JSON in the environment."""

    database_url: str
    master_key: str
    public_jwk: dict[str, Any]


def furnish(database_url: str, record: bytes, count: int) -> tuple[NaiveConfiguration, list[str]]:
    """Fill an empty database with `count` consents of one record each; the tokens that open them."""
    jwk, master = generate_private_jwk("ES256"), new_key()
    rows = [_rows(master, record) for _ in range(count)]
    engine = _engine(database_url)
    _Table.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(NaiveClient(client_id=_CLIENT, status="active"))
        for model, place in ((NaiveOwner, 0), (NaiveConsent, 1), (NaiveRecord, 2)):
            session.connection().execute(insert(model), [row[place] for row in rows])
        session.commit()
    engine.dispose()
    header = {"alg": "ES256", "typ": _TYPE, "kid": jwk["kid"]}
    expires_at = int(read_clock().timestamp()) + 3600
    tokens = [
        sign_with_jwk({"grant": consent["grant_id"], "exp": expires_at}, jwk, header)
        for _, consent, _ in rows
    ]
    return NaiveConfiguration(database_url, master.secret.hex(), public_jwk(jwk)), tokens


def environment(configuration: NaiveConfiguration) -> dict[str, str]:
    """The environment for a server's process."""
    return {CONFIGURATION: json.dumps(asdict(configuration))}


def create_app() -> FastAPI:
    """The naive server, configured by its environment."""
    # uvicorn's workers are started with nothing else from their caller.
    configuration = NaiveConfiguration(**json.loads(os.environ[CONFIGURATION]))  # noqa: TID251 - as it says above
    engine, master = _engine(configuration.database_url), bytes.fromhex(configuration.master_key)
    keys = {"keys": [configuration.public_jwk]}
    app = FastAPI()

    @app.get(PATH)
    def get_records(authorization: Annotated[str, Header()]) -> dict[str, Any]:
        try:
            _, claims = verify_jwt(
                authorization.removeprefix("Bearer "), keys, algorithms=("ES256",), typ=_TYPE
            )
        except UntrustedTokenError:
            raise HTTPException(401) from None
        now = read_clock()
        if claims["exp"] <= now.timestamp():
            raise HTTPException(401)
        with Session(engine) as session:
            return _pull(session, master, claims["grant"], now)

    return app


def _pull(session: Session, master: bytes, grant_id: str, now: datetime) -> dict[str, Any]:
    consent = session.get(NaiveConsent, grant_id)
    if consent is None or consent.state != "GIVEN":
        raise HTTPException(401)
    client = session.get_one(NaiveClient, consent.client_id)
    if client.status != "active":
        raise HTTPException(403)
    owner = session.get_one(NaiveOwner, consent.owner_id)
    secret = unwrap_key(master, context_of("owner", owner.owner_id), owner.wrapped)
    key = SealingKey(owner.key_id, secret)
    found = session.exec(select(NaiveRecord).where(NaiveRecord.owner_id == owner.owner_id)).all()
    records = [
        json.loads(open_sealed(key, context_of("record", record.record_id), record.sealed))
        for record in found
    ]
    session.add(NaiveAudit(grant_id=grant_id, client_id=client.client_id, at=now))
    session.commit()
    return {"grant_id": grant_id, "records": records}


def _rows(master: SealingKey, record: bytes) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    owner_id, record_id, key = random_id(), random_id(), new_key()
    wrapped = wrap_key(master.secret, context_of("owner", owner_id), key.secret)
    return (
        {"owner_id": owner_id, "key_id": key.key_id, "wrapped": wrapped},
        {"grant_id": random_id(), "owner_id": owner_id, "client_id": _CLIENT, "state": "GIVEN"},
        {
            "record_id": record_id,
            "owner_id": owner_id,
            "sealed": seal(key, context_of("record", record_id), record),
        },
    )


def _engine(url: str) -> Engine:
    """Threads of the server and connections are 40 each; SQLite as durable as the broker's."""
    if not url.startswith("sqlite"):
        return create_engine(make_url(url).set(drivername="postgresql+psycopg"), pool_size=40)
    engine = create_engine(url, pool_size=40, connect_args={"timeout": 60})
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # of the file, for good; FULL is the default
    return engine
