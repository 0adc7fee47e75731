"""Where the broker listens: with TLS of its own (RFC 9325), or at a socket that only its proxy reaches."""

import http.client
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from broker.cli.failures import StopError
from broker.cli.listening import listening
from broker.demo.processes import free_port
from broker.settings import ConfigurationError, load_settings
from tests.certificates import authority, made, new_key, server
from tests.flows.demos import environment

PATIENCE = 120


@contextmanager
def serving(environ: dict[str, str], folder: Path, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`mydata serve` as a process with these settings."""
    named = {f"MYDATA__{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "broker", "serve"]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**environment(), **environ, **named}
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def until_it_answers(process: "subprocess.Popen[bytes]", connect: http.client.HTTPConnection) -> bool:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with closing(connect):
                connect.request("GET", "/livez")
                return connect.getresponse().status == 200
        except OSError:
            time.sleep(0.05)
    return False


class OverSocket(http.client.HTTPConnection):
    """A connection to a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def shaken(port: int, context: ssl.SSLContext) -> tuple[str | None, str | None]:
    with (
        closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        cipher = secured.cipher()
        return secured.version(), cipher and cipher[0]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_only_what_rfc_9325_recommends_is_spoken(
    environ: dict[str, str], tmp_path: Path, workers: str
) -> None:
    root, port = authority(), free_port()
    certificate_file, key_file = server(root, "localhost").write(tmp_path, "server")
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(root.pem)

    def context() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=trusted)

    settings = {"tls__certificate_file": str(certificate_file), "tls__key_file": str(key_file)}
    settings |= {"server__port": str(port), "server__workers": workers}
    with serving(environ, tmp_path, **settings) as process:
        connection = http.client.HTTPSConnection("localhost", port, context=context(), timeout=PATIENCE)
        assert until_it_answers(process, connection), (tmp_path / "serve.log").read_text()

        for suites in ("ECDHE+AES+SHA256:ECDHE+AES+SHA", "RSA+AESGCM", "DHE+AESGCM", "ECDHE+CHACHA20"):
            refused = context()
            refused.set_ciphers(suites)
            refused.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(ssl.SSLError, match=r"HANDSHAKE_FAILURE|EOF occurred"):
                shaken(port, refused)
        old = context()
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|protocol version|EOF occurred"):
            shaken(port, old)

        good = context()
        assert shaken(port, good)[0] == "TLSv1.3"
        good.maximum_version = ssl.TLSVersion.TLSv1_2
        version, suite = shaken(port, good)
        assert version == "TLSv1.2"
        assert suite in {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_socket_in_a_closed_folder(environ: dict[str, str], tmp_path: Path, workers: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    path = folder / "broker.sock"
    with closing(socket.socket(socket.AF_UNIX)) as left_behind:
        left_behind.bind(str(path))
    settings = {"server__socket": str(path), "server__workers": workers}
    with serving(environ, tmp_path, **settings) as process:
        assert until_it_answers(process, OverSocket(path)), (tmp_path / "serve.log").read_text()


def settings_with(environ: dict[str, str], **named: str) -> dict[str, str]:
    return environ | {f"MYDATA__{name.upper()}": value for name, value in named.items()}


def test_a_socket_that_others_could_reach(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "run" / "broker.sock"
    settings = load_settings(None, settings_with(environ, server__socket=str(path)))
    for mode in (None, 0o701, 0o704, 0o755):
        if mode is not None:
            path.parent.mkdir(exist_ok=True)
            path.parent.chmod(mode)
        with pytest.raises(StopError, match="open to other users"):
            listening(settings)
    path.parent.chmod(0o750)
    assert listening(settings) == {"uds": str(path)}


def test_a_socket_where_something_is_already(environ: dict[str, str], tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "broker.sock"
    settings = load_settings(None, settings_with(environ, server__socket=str(path)))
    path.write_text("a file")
    with pytest.raises(StopError, match="a file at"):
        listening(settings)
    assert path.read_text() == "a file"
    path.unlink()
    with closing(socket.socket(socket.AF_UNIX)) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(StopError, match="Another program"):
            listening(settings)
    assert listening(settings) == {"uds": str(path)}
    assert not path.exists()


def test_a_certificate_and_a_key_that_do_not_go_together(environ: dict[str, str], tmp_path: Path) -> None:
    one, other = made(), made(key=new_key("RSA-2048"))
    certificate_file, key_file = one.write(tmp_path, "one")
    _, other_key = other.write(tmp_path, "other")
    for certificate, key in (
        (certificate_file, other_key),
        (key_file, key_file),
        (tmp_path / "missing.pem", key_file),
        (certificate_file, tmp_path / "missing.key"),
    ):
        named = {"tls__certificate_file": str(certificate), "tls__key_file": str(key)}
        with pytest.raises(StopError, match="cannot be used together"):
            listening(load_settings(None, settings_with(environ, **named)))


@pytest.mark.parametrize(
    ("named", "key"),
    [
        ({"tls__certificate_file": "a.pem"}, "tls"),
        ({"tls__key_file": "a.key"}, "tls"),
        (
            {"tls__certificate_file": "a.pem", "tls__key_file": "a.key", "server__socket": "s"},
            "server.socket",
        ),
        ({"server__client_certificate_header": "Client-Cert"}, "server"),
    ],
)
def test_settings_that_contradict_each_other(
    environ: dict[str, str], named: dict[str, str], key: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_settings(None, settings_with(environ, **named))
    assert [fault.key for fault in raised.value.faults] == [key]


def test_without_either_it_is_an_address(environ: dict[str, str]) -> None:
    assert listening(load_settings(None, environ)) == {"host": "127.0.0.1", "port": 8000}
