"""`python -m connectors.services.lease.recipient CONFIGURATION`: the contract service as a process."""

import logging
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Final

import uvicorn

from connectors.http import Limits, OutboundClient
from connectors.services.lease.recipient.app import create_service
from connectors.services.lease.recipient.configuration import load_configuration
from connectors.services.lease.recipient.desk import Desk
from connectors.services.lease.recipient.store import Store
from connectors.services.relying_party.answers import Answers
from connectors.services.relying_party.broker_client import BrokerClient
from connectors.services.relying_party.broker_keys import BrokerKeys
from connectors.services.relying_party.deleting import Deletion

_ARGUMENTS: Final = 2
_PAUSE_SECONDS: Final = 0.3
_PATIENCE_SECONDS: Final = 5

_log: Final = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Serve until told to stop; 2 for wrong usage."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("usage: python -m connectors.services.lease.recipient CONFIGURATION\n")
        return 2
    configuration = load_configuration(Path(arguments[1]))
    store = Store(configuration.store)
    store.recover()
    # One attempt: a repeated request needs a proof of its own, so repeating is the desk's business.
    is_local = configuration.issuer.startswith("http://")
    with OutboundClient(Limits(attempts=1), allow_loopback=is_local) as http:
        broker = BrokerClient(configuration, http)
        keys = BrokerKeys(configuration.issuer, http)
        answers = Answers(configuration.issuer, configuration.recipient_id, keys)
        desk = Desk(configuration, store, broker, answers, _now)
        deletion = Deletion(broker, store, _now)
        stop = Event()
        server = uvicorn.Server(
            uvicorn.Config(
                create_service(configuration, store, desk, deletion),
                host=configuration.host,
                port=configuration.port,
                log_level="warning",
                access_log=False,
            )
        )
        clerk = Thread(target=_employ, args=(server, stop, desk, deletion), name="clerk", daemon=True)
        clerk.start()
        server.run()
        stop.set()
        clerk.join(_PATIENCE_SECONDS)
    return 0


def _employ(server: uvicorn.Server, stop: Event, desk: Desk, deletion: Deletion) -> None:
    """Should a mistake of ours end the clerk, the pages end too: nobody would notice that it is gone."""
    try:
        _work(stop, desk, deletion)
    finally:
        server.should_exit = True


def _work(stop: Event, desk: Desk, deletion: Deletion) -> None:
    """What nobody waits for in front of a browser: deals that others end, and what must be deleted."""
    while not stop.wait(_PAUSE_SECONDS):
        try:
            desk.work()
            deletion.work()
        except sqlite3.OperationalError as error:  # a lock that took too long: it passes
            _log.warning("clerk waits: %s", error.sqlite_errorname)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
