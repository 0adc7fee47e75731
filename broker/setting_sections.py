"""The sections of the settings, each with its defaults and limits. `broker/settings.py` reads them."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from broker.setting_rules import (
    beside_configuration,
    check_database_url,
    check_header,
    check_issuer,
    check_optional_issuer,
    check_origin,
    check_present,
    check_proxies,
    check_sender,
    check_step_up,
)

_DatabaseUrl = Annotated[str, AfterValidator(check_database_url)]
_File = Annotated[Path, AfterValidator(beside_configuration)]
_Seconds = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """What every section is: frozen, and without a name that it does not know."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )


class Server(Section):
    """`[server]`: where the broker listens, and the name it has for the world."""

    issuer: Annotated[str, AfterValidator(check_issuer)]
    profile: Literal["production", "demo"] = "production"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    threads: Annotated[int, Field(ge=1, le=1000)] = 16
    socket: _File | None = None
    trusted_proxies: Annotated[tuple[str, ...], BeforeValidator(check_proxies)] = ()
    client_certificate_header: Annotated[str, AfterValidator(check_header)] = ""
    client_certificate_format: Literal["rfc9440", "escaped_pem"] = "rfc9440"
    client_certificate_verified_header: Annotated[str, AfterValidator(check_header)] = ""
    mtls_issuer: Annotated[str, AfterValidator(check_optional_issuer)] = ""

    @model_validator(mode="after")
    def _take_certificates_of_proxies_only(self) -> Self:
        """Client certificates come by a trusted proxy, or not at all."""
        names = (self.client_certificate_header.lower(), self.client_certificate_verified_header.lower())
        message = None
        if names[0] and not self.trusted_proxies:
            message = "client_certificate_header needs trusted_proxies: anybody may send the header"
        elif not names[0] and (names[1] or self.mtls_issuer):
            message = "client_certificate_verified_header and mtls_issuer need client_certificate_header"
        elif names[0] and names[0] == names[1]:
            message = "client_certificate_verified_header must be another header"
        if message is not None:
            raise ValueError(message)
        return self


class TlsSection(Section):
    """`[tls]`: certificate and key, if the broker speaks TLS itself (RFC 9325)."""

    certificate_file: _File | None = None
    key_file: _File | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        """A certificate is nothing without its key."""
        if (self.certificate_file is None) != (self.key_file is None):
            message = "certificate_file and key_file go together"
            raise ValueError(message)
        return self


class DatabaseSection(Section):
    """`[database]`: the data database. `pool_size` is `server.threads` unless given."""

    url: Annotated[_DatabaseUrl, Field(repr=False)] = "sqlite:///mydata.db"
    pool_size: Annotated[int, Field(ge=1, le=1000)] = 16


class KeyringSection(Section):
    """`[keyring]`: the keyring's own database, and what opens it."""

    passphrase: Annotated[SecretStr, AfterValidator(check_present)]
    url: Annotated[_DatabaseUrl, Field(repr=False)] = "sqlite:///keyring.db"
    provider: Literal["local"] = "local"
    root_file: _File = Path("root.key")


class LedgerSection(Section):
    """`[ledger]`: the consent log. `origin` is the issuer's host followed by `/log` unless given."""

    origin: Annotated[str, AfterValidator(check_origin)] = ""
    anchor_file: _File | None = None
    checkpoint_interval_seconds: _Seconds = 60


class KeysSection(Section):
    """`[keys]`: how many days a signing key signs (0: until somebody turns it), and is published beside."""

    rotate_days: Annotated[int, Field(ge=0, le=3650)] = 90
    publish_before_days: Annotated[int, Field(ge=1, le=90)] = 7
    keep_previous_days: Annotated[int, Field(ge=1, le=365)] = 30

    @model_validator(mode="after")
    def _publish_within_its_time(self) -> Self:
        """A key that signs for less time than its successor is published before it would never rest."""
        if 0 < self.rotate_days <= self.publish_before_days:
            message = "rotate_days must be above publish_before_days, or 0"
            raise ValueError(message)
        return self


class OAuthSection(Section):
    """`[oauth]`: lifetimes of what the authorization server hands out."""

    oidc_clients: bool = False
    request_uri_seconds: Annotated[int, Field(ge=5, le=600)] = 60
    code_seconds: Annotated[int, Field(ge=5, le=60)] = 60  # FAPI 2.0 section 5.3.2.1: at most 60
    access_token_seconds: Annotated[int, Field(ge=30, le=3600)] = 300
    interaction_minutes: Annotated[int, Field(ge=5, le=1440)] = 60
    dpop_nonce: bool = False
    step_up_seconds: Annotated[int, AfterValidator(check_step_up), Field(ge=0, le=31_536_000)] = 0
    step_up_acr: Literal["", "urn:mydata:acr:1fa"] = ""


class SessionSection(Section):
    """`[session]`: how long a person stays signed in."""

    idle_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    absolute_hours: Annotated[int, Field(ge=1, le=168)] = 12


class DeliverySection(Section):
    """`[delivery]`: how long the same key answers the same payload again."""

    redelivery_hours: Annotated[int, Field(ge=1, le=168)] = 24


class DealsSection(Section):
    """`[deals]`: how long the people of a deal may take to sign, at the most."""

    longest_days: Annotated[int, Field(ge=1, le=90)] = 14


class CollectionSection(Section):
    """`[collection]`: how long a record waits for a decision whose it is."""

    pending_days: Annotated[int, Field(ge=1, le=30)] = 7


class ObligationsSection(Section):
    """`[obligations]`: how many days "without delay" is, once somebody has ended a consent."""

    days_after_end: Annotated[int, Field(ge=1, le=30)] = 3


class RightsSection(Section):
    """`[rights]`: by when what people ask for by right is answered.

    PIPA decree articles 43(3) and 44(2): ten days. A review of a decision has a time of its own.
    """

    answer_days: Annotated[int, Field(ge=1, le=10)] = 10
    review_days: Annotated[int, Field(ge=1, le=90)] = 30


class InactivitySection(Section):
    """`[inactivity]`: after how many days without a sign-in sending stops, and data is erased; 0 is never."""

    stop_after_days: Annotated[int, Field(ge=0, le=3650)] = 183
    erase_after_days: Annotated[int, Field(ge=0, le=3650)] = 365


class PeopleSection(Section):
    """`[people]`: ages of children (PIPA article 22-2), the longest mandate, the review of an emergency."""

    child_age: Annotated[int, Field(ge=1, le=19)] = 14
    handover_age: Annotated[int, Field(ge=1, le=19)] = 14
    longest_mandate_days: Annotated[int, Field(ge=1, le=1825)] = 365
    emergency_review_days: Annotated[int, Field(ge=1, le=30)] = 3
    emergency_unreviewed: Annotated[int, Field(ge=1, le=1000)] = 5
    emergency_refusals_a_day: Annotated[int, Field(ge=1, le=10_000)] = 20

    @model_validator(mode="after")
    def _hand_over_no_sooner(self) -> Self:
        """A guardian is needed until a child decides alone."""
        if self.handover_age < self.child_age:
            message = "handover_age must not be below child_age"
            raise ValueError(message)
        return self


class StatisticsSection(Section):
    """`[statistics]`: the smallest number that is published of anything that people did."""

    smallest_cell: Annotated[int, Field(ge=1, le=1000)] = 10


class DeploymentSection(Section):
    """`[deployment]`: the role in law in which this broker runs (`consent.roles`)."""

    role: Literal["relay", "manager", "receiver"] = "manager"
    special_manager: bool = False


class EventsSection(Section):
    """`[events]`: how long an event for a recipient that does not take it is tried again."""

    give_up_days: Annotated[int, Field(ge=1, le=90)] = 14
    longest_wait_seconds: Annotated[int, Field(ge=1, le=86400)] = 3600


class NotificationsSection(Section):
    """`[notifications]`: the hour (KST) of digests; how long a message that is not taken is tried."""

    digest_hour: Annotated[int, Field(ge=0, le=23)] = 8
    give_up_days: Annotated[int, Field(ge=1, le=30)] = 5
    longest_wait_seconds: Annotated[int, Field(ge=1, le=86400)] = 3600


class MailSection(Section):
    """`[mail]`: the server that takes mail to people (RFC 6409). Without a host there is no mail."""

    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    starttls: bool = True
    ca_file: _File | None = None
    username: str = ""
    password: SecretStr = SecretStr("")
    sender: Annotated[str, AfterValidator(check_sender)] = ""


class LimitsSection(Section):
    """`[limits]`: what the broker takes at most, and how often. A rate of 0 is no limit.

    Rates are for each process: a caller may spend a minute's worth at once, and as much each minute.
    """

    body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 1 << 20
    header_bytes: Annotated[int, Field(ge=4096, le=1 << 20)] = 32 * 1024
    one_header_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 16 * 1024
    parameters: Annotated[int, Field(ge=20, le=10_000)] = 200
    jwt_bytes: Annotated[int, Field(ge=1024, le=16 * 1024)] = 8192
    json_depth: Annotated[int, Field(ge=8, le=200)] = 32
    authorization_details_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 20_000
    unproven_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 600
    sign_in_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 30
    client_per_minute: Annotated[int, Field(ge=0, le=10_000_000)] = 30_000
    asked_per_hour: Annotated[int, Field(ge=0, le=10_000)] = 20


class LogSection(Section):
    """`[log]`: the program's own log. It holds ids only; the consent log is another thing."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class SecretsSection(Section):
    """`[secrets]`: the directory with secret files."""

    directory: _File | None = None
