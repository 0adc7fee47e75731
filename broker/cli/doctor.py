"""`mydata doctor`: is this installation in order, and what to do where it is not.

The checks are in `broker/cli/diagnosis`; here is their order. What hangs on something that is broken already
is not guessed at, but left out.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import typer

from broker.cli.failures import ExitCode
from broker.cli.opening import Invocation, open_installation, read_clock, require_migrated
from broker.cli.output import Output, OutputFormat, show_rows

if TYPE_CHECKING:
    from broker.cli.diagnosis.finding import Finding
    from broker.installation import Installation
    from broker.settings import Settings

app = typer.Typer()

_PATIENCE: Final = timedelta(minutes=5)
_COLUMNS: Final = ("check", "outcome", "detail", "cure")


@app.command(epilog="Example:  mydata doctor -o json")
def doctor(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Check everything that can be wrong here: exit code 1 if something is, 3 if it cannot be told."""
    invocation: Invocation = context.obj
    findings = list(_examine(invocation))
    show_rows(_COLUMNS, [(one.check, one.outcome, one.detail, one.cure) for one in findings], output)
    outcomes = {one.outcome for one in findings}
    if "failed" in outcomes:
        raise typer.Exit(ExitCode.REFUSED)
    if "unchecked" in outcomes:
        raise typer.Exit(ExitCode.COULD_NOT_CHECK)


def _examine(invocation: Invocation) -> "Iterator[Finding]":
    from broker.cli.diagnosis import finding, registry, serving
    from broker.cli.diagnosis.databases import check_schema
    from broker.installation import load_purposes
    from broker.settings import ConfigurationError, load_settings
    from broker.web.rendering import Pages
    from connectors.sources.catalog import all_sources
    from vault.record_types.catalogue import Catalogue

    try:
        settings = load_settings(invocation.configuration_file())
    except ConfigurationError as error:
        detail = " ".join(str(fault) for fault in error.faults)
        cure = "Mend each of these; `mydata config check` lists them again."
        yield finding.failed("configuration", detail, cure)
        return
    yield finding.ok("configuration")
    yield from _examine_files(invocation, settings)
    declarations = registry.check_declarations(Catalogue.load, load_purposes)
    yield declarations
    yield registry.check_sources(Catalogue.load, all_sources)
    yield registry.check_pages(Pages.load)
    yield serving.check_issuer(settings.server)
    yield serving.check_addresses(settings.server, settings.limits, settings.tls)
    yield serving.check_metadata(settings.server.issuer)
    databases = [
        finding.checked("data database", partial(require_migrated, settings.database.url, "data")),
        finding.checked("keyring database", partial(require_migrated, settings.keyring.url, "keyring")),
    ]
    yield from databases
    if all(one.outcome == "ok" for one in databases):
        yield finding.checked("schema", partial(check_schema, settings))
    if any(one.outcome != "ok" for one in (declarations, *databases)):
        yield finding.unchecked("keyring", "The databases and the declarations come first.")
        return
    yield from _examine_opened(settings)


def _examine_files(invocation: Invocation, settings: "Settings") -> "Iterator[Finding]":
    from broker.cli.diagnosis import certificates, files

    databases = files.sqlite_files(settings)
    yield files.check_secrets(settings, invocation.configuration_file())
    yield files.check_root_file(settings.keyring.root_file, user=os.geteuid())
    if settings.tls.key_file is not None:
        yield certificates.check_tls_key(settings.tls.key_file)
    if databases:
        yield files.check_modes(databases.values())
    for name, file in databases.items():
        yield files.check_journal(f"{name} journal", file)
    anchor = settings.ledger.anchor_file
    yield files.check_anchor_place(anchor)
    folders = {file.parent for file in (*databases.values(), *([anchor] if anchor else []))}
    yield files.check_disk(sorted(folders))


def _examine_opened(settings: "Settings") -> "Iterator[Finding]":
    from broker.cli.diagnosis import finding

    opened: list[Installation] = []
    keyring = finding.checked("keyring", lambda: opened.append(open_installation(settings)))
    yield keyring
    if not opened:
        yield finding.unchecked("log", "The keyring comes first.")
        return
    try:
        yield from _examine_databases(opened[0])
        yield from _examine_contents(opened[0])
    finally:
        opened[0].close()


def _examine_databases(opened: "Installation") -> "Iterator[Finding]":
    from broker.cli.diagnosis import databases
    from broker.cli.diagnosis.finding import checked

    is_production = opened.settings.server.profile == "production"
    with opened.data.read() as data, opened.keyring_database.read() as keyring:
        for name, session in (("data", data), ("keyring", keyring)):
            for title, run in (
                (f"{name} version", databases.check_version),
                (f"{name} encoding", databases.check_encoding),
                (f"{name} durability", databases.check_durability),
            ):
                yield checked(title, partial(run, title, session))
            title = f"{name} connections"
            yield checked(title, partial(databases.check_connections, title, session, opened.settings))
        separate = partial(databases.check_separation, data, keyring, is_production=is_production)
        yield checked("separate keyring", separate)
        yield checked("clock", lambda: databases.check_clock(data, read_clock()))
        yield checked("clock and log", lambda: databases.check_clock_and_log(data, read_clock()))


def _examine_contents(opened: "Installation") -> "Iterator[Finding]":
    from broker.cli.diagnosis import certificates, log, registry, work
    from broker.cli.diagnosis.finding import checked

    oidc_clients = opened.settings.oauth.oidc_clients
    signing = checked(
        "signing keys", lambda: registry.check_signing_keys(opened.keyring, oidc_clients=oidc_clients)
    )
    yield signing
    if signing.outcome == "ok":
        yield checked("log", lambda: log.check_log(opened))
    interval = timedelta(seconds=opened.settings.ledger.checkpoint_interval_seconds)
    now = read_clock()
    with opened.data.read() as session:
        for title, check, patience in (
            ("checkpoint", log.check_checkpoint, _PATIENCE + interval),
            ("duties", work.check_duties, _PATIENCE),
            ("events", work.check_events, _PATIENCE),
            ("expiry", work.check_expiry, _PATIENCE),
            ("holders", work.check_asking, _PATIENCE),
            ("pending records", work.check_pending, _PATIENCE),
            ("worker", work.check_worker, _PATIENCE + interval),
        ):
            yield checked(title, partial(check, session, now, patience=patience))
        rotation = partial(registry.check_rotation, opened.keyring, opened.settings.keys, now)
        yield checked("key rotation", rotation)
        yield checked("role", lambda: registry.check_role(session, opened.deployment))
        yield checked("clients", lambda: registry.check_clients(session, opened.purposes))
        server = opened.settings.server
        yield checked("client certificates", lambda: certificates.check_certificates(session, server))
