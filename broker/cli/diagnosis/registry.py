"""What the broker knows by its files and by its tables: record types, purposes, pages, clients, keys."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from babel.messages.pofile import PoFileError
from jinja2 import TemplateError
from sqlmodel import Session, col, func, select

from broker.cli.diagnosis.finding import Finding, failed, ok, warning
from broker.oauth.clients import ClientStatus, RegisteredClient, all_clients
from broker.service_keys import ROTATED_KEYS, service_keys_of
from broker.setting_sections import KeysSection
from broker.web.rendering import Pages
from connectors.sources.base import Source
from consent.errors import UnknownPurposeError
from consent.models import SourceLink
from consent.organisations import OrganisationStatus, organisations
from consent.purposes import Purposes
from consent.roles import Deployment
from vault.keys.keyring import Keyring
from vault.keys.service_keys import KeyState
from vault.record_types.catalogue import Catalogue

_A_DAY = timedelta(days=1)
_REINSTALL = "Install the program again: its own files are damaged."


def check_declarations(
    load_catalogue: Callable[[], Catalogue], load_purposes: Callable[[], Purposes]
) -> Finding:
    """Record types and purposes can be read, and no purpose asks for what no record type has."""
    check = "declarations"
    try:
        catalogue, purposes = load_catalogue(), load_purposes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        detail = f"Record types or purposes cannot be read ({type(error).__name__})."
        return failed(check, detail, _REINSTALL)
    faults = list(_faults(catalogue, purposes))
    if not faults:
        return ok(check)
    return failed(check, f"Purposes ask for what there is not: {'; '.join(faults)}.", _REINSTALL)


def _faults(catalogue: Catalogue, purposes: Purposes) -> Iterator[str]:
    known = set(catalogue.codes())
    for purpose in purposes.all():
        for item in purpose.items:
            if item.record_type not in known:
                yield f"{purpose.code} has unknown record type {item.record_type}"
                continue
            missing = set(item.fields) - set(catalogue.get(item.record_type).fields)
            if missing:
                yield f"{purpose.code} has unknown fields {', '.join(sorted(missing))} of {item.record_type}"


def check_sources(
    load_catalogue: Callable[[], Catalogue], load_sources: Callable[[], Sequence[Source]]
) -> Finding:
    """Holders' formats can be read, each has a name of its own and gives a known record type."""
    check = "sources"
    try:
        known, sources = set(load_catalogue().codes()), load_sources()
    except (OSError, ValueError, KeyError, TypeError) as error:
        detail = f"The holders' formats cannot be read ({type(error).__name__})."
        return failed(check, detail, _REINSTALL)
    formats = [source.format for source in sources]
    faults = [
        f"{source.format} gives an unknown record type"
        for source in sources
        if source.record_type not in known
    ]
    faults += [f"{name} is there twice" for name in sorted(set(formats)) if formats.count(name) > 1]
    if not faults:
        return ok(check)
    return failed(check, f"Formats of holders are wrong: {'; '.join(faults)}.", _REINSTALL)


def check_pages(load: Callable[[], Pages]) -> Finding:
    """Texts in both languages, templates and static files can be read."""
    check = "pages"
    try:
        load().compile()
    except (OSError, ValueError, PoFileError, TemplateError) as error:
        return failed(check, f"The pages cannot be read ({type(error).__name__}).", _REINSTALL)
    return ok(check)


def check_signing_keys(keyring: Keyring, *, oidc_clients: bool) -> Finding:
    """Every key that we sign with is there."""
    check = "signing keys"
    names = service_keys_of(oidc_clients=oidc_clients)
    missing = [name for name in names if not keyring.service_keys(name)]
    if not missing:
        return ok(check)
    cure = "Run `mydata key init`: it adds what is missing."
    return failed(check, f"Signing keys are missing: {', '.join(missing)}.", cure)


def check_rotation(keyring: Keyring, section: KeysSection, now: datetime) -> Finding:
    """No signing key signs for longer than it should."""
    check = "key rotation"
    for name in ROTATED_KEYS:
        for key in keyring.service_keys(name):
            is_overdue = key.state == KeyState.NEXT and key.signs_from + _A_DAY < now
            if key.state == KeyState.CURRENT and section.rotate_days:
                is_overdue = key.signs_from + timedelta(days=section.rotate_days) + _A_DAY < now
            if is_overdue:
                detail = f"The key {name} should have been rotated by now."
                return warning(check, detail, "Run `mydata worker`: it rotates keys.")
    return ok(check)


def check_role(session: Session, deployment: Deployment) -> Finding:
    """Which role in law this is, and that nothing living was linked in another one."""
    check = "role"
    foreign = session.exec(
        select(func.count())
        .select_from(SourceLink)
        .where(col(SourceLink.ended_at).is_(None), SourceLink.role != deployment.role)
    ).one()
    name = f"special {deployment.role}" if deployment.is_special else str(deployment.role)
    if foreign == 0:
        return ok(check, f"Deployed as {name}.")
    detail = f"Deployed as {name}, and {foreign} links were made in another role: nothing of them is used."
    return warning(check, detail, "Set deployment.role back, or have those people link anew.")


def check_clients(session: Session, purposes: Purposes) -> Finding:
    """Every active client may ask for something that still exists, for an organisation that still may."""
    check = "clients"
    suspended = {
        row.organisation_id for row in organisations(session) if row.status == OrganisationStatus.SUSPENDED
    }
    active = [client for client in all_clients(session) if client.status == ClientStatus.ACTIVE]
    lost = [client.client_id for client in active if _has_unknown_purpose(client, purposes)]
    if lost:
        detail = f"Clients are registered for purposes that no service declares: {', '.join(lost)}."
        return failed(check, detail, "Install the service again, or: mydata client suspend CLIENT_ID")
    stopped = [client.client_id for client in active if client.organisation_id in suspended]
    if stopped:
        detail = f"Clients of suspended organisations, refused everywhere: {', '.join(stopped)}."
        return warning(check, detail, "If that is for good: mydata client suspend CLIENT_ID")
    return ok(check)


def _has_unknown_purpose(client: RegisteredClient, purposes: Purposes) -> bool:
    try:
        for code in client.purposes:
            purposes.get(code)
    except UnknownPurposeError:
        return True
    return False
