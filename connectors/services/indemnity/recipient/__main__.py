"""`python -m connectors.services.indemnity.recipient CONFIGURATION`: the insurer as a process."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvicorn

from connectors.http import Limits, OutboundClient
from connectors.services.indemnity.recipient.app import create_insurer
from connectors.services.indemnity.recipient.broker_client import BrokerClient
from connectors.services.indemnity.recipient.configuration import load_configuration
from connectors.services.indemnity.recipient.desk import Desk
from connectors.services.indemnity.recipient.store import Store

_ARGUMENTS: Final = 2


def main(arguments: list[str]) -> int:
    """Serve until told to stop; 2 for wrong usage."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("usage: python -m connectors.services.indemnity.recipient CONFIGURATION\n")
        return 2
    configuration = load_configuration(Path(arguments[1]))
    store = Store(configuration.store)
    # One attempt: a repeated request needs a proof of its own, so repeating is the desk's business.
    limits = Limits(attempts=1)
    is_local = configuration.issuer.startswith("http://")
    with OutboundClient(limits, allow_loopback=is_local) as http:
        desk = Desk(configuration, store, BrokerClient(configuration, http), _now)
        uvicorn.run(
            create_insurer(configuration, store, desk),
            host=configuration.host,
            port=configuration.port,
            log_level="warning",
            access_log=False,
        )
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
