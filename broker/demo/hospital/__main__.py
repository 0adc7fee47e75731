"""`python -m broker.demo.hospital CONFIGURATION`: the demo hospital as a process."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Final

import uvicorn

from broker.demo.hospital.app import create_hospital
from broker.demo.hospital.configuration import load_configuration
from broker.demo.hospital.desk import BrokerKeys, Desk
from broker.demo.hospital.pushing import Pusher
from broker.demo.hospital.store import Store
from connectors.http import Limits, OutboundClient

_ARGUMENTS: Final = 2


def main(arguments: list[str]) -> int:
    """Serve, and push what is new, until told to stop; 2 for wrong usage."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("usage: python -m broker.demo.hospital CONFIGURATION\n")
        return 2
    configuration = load_configuration(Path(arguments[1]))
    store = Store(configuration.store)
    # One attempt: a repeated request needs a proof of its own, so repeating is the pusher's business.
    limits = Limits(attempts=1, total_seconds=15)
    is_local = configuration.issuer.startswith("http://")
    stop = Event()
    with OutboundClient(limits, allow_loopback=is_local) as http:
        desk = Desk(configuration, store, BrokerKeys(http, configuration.issuer, _now), _now)
        pusher = Pusher(configuration, store, http, _now)
        thread = Thread(target=pusher.push_until, args=(stop,), name="push", daemon=True)
        thread.start()
        try:
            uvicorn.run(
                create_hospital(configuration, store, desk),
                host=configuration.host,
                port=configuration.port,
                log_level="warning",
                access_log=False,
            )
        finally:
            stop.set()
            thread.join(limits.total_seconds)
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
