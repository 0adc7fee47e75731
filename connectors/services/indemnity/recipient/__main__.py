"""`python -m connectors.services.indemnity.recipient CONFIGURATION`: the insurer as a process."""

import logging
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Final

import uvicorn

from connectors.http import Limits, OutboundClient
from connectors.services.indemnity.recipient.app import create_insurer
from connectors.services.indemnity.recipient.book import Book
from connectors.services.indemnity.recipient.configuration import load_configuration
from connectors.services.indemnity.recipient.database import InsurerDatabase
from connectors.services.indemnity.recipient.desk import Desk
from connectors.services.indemnity.recipient.inbox import Inbox
from connectors.services.indemnity.recipient.store import Store
from connectors.services.relying_party.broker_client import BrokerClient
from connectors.services.relying_party.deleting import Deletion

_ARGUMENTS: Final = 2
_PAUSE_SECONDS: Final = 0.3
_PATIENCE_SECONDS: Final = 5

_log: Final = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Serve until told to stop; 2 for wrong usage."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("usage: python -m connectors.services.indemnity.recipient CONFIGURATION\n")
        return 2
    configuration = load_configuration(Path(arguments[1]))
    database = InsurerDatabase(configuration.store)
    store = Store(database)
    store.recover()
    # One attempt: a repeated request needs a proof of its own, so repeating is the desk's business.
    limits = Limits(attempts=1)
    is_local = configuration.issuer.startswith("http://")
    with OutboundClient(limits, allow_loopback=is_local) as http:
        broker = BrokerClient(configuration, http)
        desk = Desk(configuration, store, Book(database), broker, _now)
        deletion = Deletion(broker, store, _now)
        inbox = Inbox(configuration, http, database)
        stop = Event()
        server = uvicorn.Server(
            uvicorn.Config(
                create_insurer(configuration, store, desk, inbox),
                host=configuration.host,
                port=configuration.port,
                log_level="warning",
                access_log=False,
            )
        )
        clerk = Thread(target=_employ, args=(server, stop, inbox, desk, deletion), name="clerk", daemon=True)
        clerk.start()
        server.run()
        stop.set()
        clerk.join(_PATIENCE_SECONDS)
    return 0


def _employ(server: uvicorn.Server, stop: Event, inbox: Inbox, desk: Desk, deletion: Deletion) -> None:
    """Should a mistake of ours end the clerk, the pages end too: nobody would notice that it is gone."""
    try:
        _work(stop, inbox, desk, deletion)
    finally:
        server.should_exit = True


def _work(stop: Event, inbox: Inbox, desk: Desk, deletion: Deletion) -> None:
    """What nobody waits for in front of a browser: events, and cases that a death or the broker held up."""
    while not stop.wait(_PAUSE_SECONDS):
        try:
            if inbox.sort():
                deletion.look_now()
            desk.work()
            deletion.work()
        except sqlite3.OperationalError as error:  # a lock that took too long: it passes
            _log.warning("clerk waits: %s", error.sqlite_errorname)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
