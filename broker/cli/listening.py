"""Where `mydata serve` listens: an address, with TLS of its own if it is told so, or a UNIX socket."""

import socket
import ssl
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from broker.cli.failures import StopError

if TYPE_CHECKING:
    from uvicorn import Config

    from broker.settings import Settings

# RFC 9325 section 4.2: what it recommends of TLS 1.2. The suites of 1.3 are all good.
SUITES: Final = "ECDHE+AESGCM"
_OTHERS: Final = stat.S_IRWXO


def listening(settings: "Settings") -> dict[str, Any]:
    """The server's options for where it listens. Raises StopError for what it could not listen with."""
    if settings.server.socket is not None:
        return {"uds": str(_free(settings.server.socket))}
    address = {"host": settings.server.host, "port": settings.server.port}
    if settings.tls.certificate_file is None:
        return address
    options = {
        "ssl_certfile": settings.tls.certificate_file,
        "ssl_keyfile": settings.tls.key_file,
        "ssl_ciphers": SUITES,
    }
    _check_pair(settings.tls.certificate_file, settings.tls.key_file)
    return {**address, **options, "ssl_context_factory": strict_context}


def strict_context(config: "Config", make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """TLS 1.2 or newer, without renegotiation (RFC 9325 sections 3.1.1 and 3.4)."""
    del config
    context = make()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _check_pair(certificate_file: Path, key_file: Path | None) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_file, key_file, lambda: "")
    except (OSError, ValueError):  # an SSLError is an OSError
        remedy = f"Put a certificate with its chain into {certificate_file}, and its key into {key_file}"
        raise StopError("tls.certificate_file and tls.key_file cannot be used together", remedy) from None


def _free(path: Path) -> Path:
    """A socket's path that nobody listens at, in a folder that is closed to other users.

    The server lets everybody write to a socket: the folder is what keeps out who would pass for the proxy.
    """
    if not path.parent.is_dir() or path.parent.stat().st_mode & _OTHERS:
        remedy = f"Let nobody but the broker and its proxy in: mkdir -p {path.parent}; chmod o= {path.parent}"
        raise StopError("The folder of server.socket is missing, or open to other users", remedy)
    if not path.is_socket():
        if path.exists():
            raise StopError("There is a file at server.socket", "Take it away, or name another path")
        return path
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()  # it was left by a broker that has ended
            return path
    raise StopError("Another program listens at server.socket", "End it first, or name another path")
