"""A broker on a UNIX socket behind a real nginx: `deploy/nginx.conf`, with other ports and paths."""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from broker.db import transaction
from broker.demo.citizen import Citizen
from broker.demo.installing import Demo, DemoPlan, install
from broker.demo.people import INSURER, PERSONAS, PURPOSE
from broker.demo.processes import free_port
from broker.installation import open_installation
from broker.oauth import clients
from broker.oauth.client_metadata import ClientMetadata
from broker.oauth.clients import ClientRegistration
from broker.oauth.pkce import challenge_of
from broker.settings import load_settings
from tests.certificates import Made, authority, server
from tests.certificates import made as certificate
from tests.flows.demos import ROOT, environment
from vault.jose import Jwk, generate_private_jwk, public_jwk

PATIENCE = 120
MISSING = "nginx is missing. On Debian: apt-get install nginx-light (as root `make test` does it)."
VERIFIER = "a-verifier-that-is-long-enough-to-be-one-of-RFC-7636"
UNTIL = datetime(2036, 1, 1, tzinfo=UTC)

# nginx keeps what it buffers in folders of the system's, where only root may write: here in its own.
_BUFFERS = "".join(
    f"\n    {kind}_temp_path {kind}_temp;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)


@dataclass(frozen=True)
class Site:
    """What listens, and the authority that both sides know."""

    folder: Path
    demo: Demo
    port: int
    mtls_port: int
    callback_port: int
    authority: Made

    @property
    def issuer(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def mtls_issuer(self) -> str:
        return f"https://localhost:{self.mtls_port}"

    @property
    def redirect_uri(self) -> str:
        return f"http://127.0.0.1:{self.callback_port}/callback"

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "broker.sock"

    @property
    def authorities(self) -> Path:
        return self.folder / "authority.pem"

    def client(self, sent: Made | None = None, **limits: Any) -> httpx.Client:  # noqa: ANN401 - of the handshake
        """An HTTP client that knows the authority, with a certificate of its own."""
        context = ssl.create_default_context(cafile=self.authorities)
        if sent is not None:
            context.load_cert_chain(*sent.write(self.folder, f"sent-{sent.thumbprint}"))
        for name, value in limits.items():
            setattr(context, name, value)
        return httpx.Client(verify=context, timeout=PATIENCE, trust_env=False)

    def register(self, client_id: str, metadata: ClientMetadata, *keys: Jwk) -> None:
        """Register a client beside the demo's own, as `mydata client add` would."""
        installation = open_installation(load_settings(self.demo.config, {}), lambda: datetime.now(UTC))
        try:
            new = ClientRegistration(
                client_id=client_id,
                organisation_id=INSURER,
                name=client_id,
                jwks={"keys": [public_jwk(generate_private_jwk("ES256")), *keys]},
                redirect_uris=(self.redirect_uri,),
                scope="records.read obligations",
                purposes=(PURPOSE,),
                metadata=metadata,
            )
            with transaction(installation.data) as work:
                clients.add(work.session, new, is_loopback_allowed=True, now=installation.clock())
        finally:
            installation.close()


@dataclass(frozen=True)
class Software:
    """A recipient's software: it finds the other addresses in metadata (RFC 8705 section 5)."""

    site: Site
    client_id: str
    http: httpx.Client
    document: Mapping[str, Any] = field(default_factory=dict)

    def post(self, endpoint: str, form: Mapping[str, str], **headers: str) -> httpx.Response:
        address = self.document["mtls_endpoint_aliases"][f"{endpoint}_endpoint"]
        return self.http.post(address, data={"client_id": self.client_id, **form}, headers=headers)

    def push(self, **headers: str) -> httpx.Response:
        terms = {**self.site.demo.terms, "locations": [f"{self.site.issuer}/v1/records"]}
        form = {
            "response_type": "code",
            "redirect_uri": self.site.redirect_uri,
            "state": "a state",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "authorization_details": json.dumps([terms]),
        }
        return self.post("pushed_authorization_request", form, **headers)

    def code(self) -> str:
        """Push, and let the person agree in their browser, at the issuer's own address."""
        pushed = self.push()
        assert pushed.status_code == 201, pushed.text
        query = httpx.QueryParams(client_id=self.client_id, request_uri=pushed.json()["request_uri"])
        came_back = agreed(self.site, f"{self.document['authorization_endpoint']}?{query}")
        answer = dict(parse_qsl(urlsplit(came_back).query))
        assert answer["iss"] == self.site.issuer
        return answer["code"]

    def redeem(self, code: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.site.redirect_uri,
            "code_verifier": VERIFIER,
        }
        return self.post("token", form)

    def pull(self, token: str, base: str | None = None, **headers: str) -> httpx.Response:
        """A pull; the same key each time, so that it is one delivery."""
        sent = {"Authorization": f"Bearer {token}", "Idempotency-Key": "one", **headers}
        return self.http.post(f"{base or self.site.mtls_issuer}/v1/deliveries", headers=sent)


@contextmanager
def running(folder: Path) -> Iterator[Site]:
    """Everything from nothing: databases, people, records, certificates, broker and nginx."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.fail(MISSING)
    site = _site(folder)
    certificate_file, key_file = server(site.authority, "localhost", "127.0.0.1").write(folder, "server")
    site.authorities.write_bytes(site.authority.pem)
    configuration = folder / "nginx.conf"
    configuration.write_text(_rendered(site, certificate_file, key_file))
    broker = [sys.executable, "-m", "broker", "--config", str(site.demo.config), "serve"]
    user = "user root; " if os.geteuid() == 0 else ""  # its workers must enter the folder of the socket
    settings = f"{user}daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;"
    nginx = [
        program,
        "-p",
        str(folder),
        "-c",
        str(configuration),
        "-e",
        f"{folder}/nginx.log",
        "-g",
        settings,
    ]
    with (folder / "output.log").open("wb") as log:
        processes = [
            subprocess.Popen(command, stdout=log, stderr=log, env=environment() | _settings(site), cwd="/")
            for command in (broker, nginx)
        ]
    try:
        _wait(site, processes)
        yield site
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(PATIENCE)


def _site(folder: Path) -> Site:
    (folder / "run").mkdir(mode=0o700)
    directory = folder / "demo"
    plan = DemoPlan(
        directory=directory,
        database_url=f"sqlite:///{directory / 'data.db'}",
        keyring_url=f"sqlite:///{directory / 'keyring.db'}",
        port=free_port(),
        insurer_port=free_port(),
        client_port=free_port(),
        acknowledge="when_told",
    )
    demo = install(plan, lambda: datetime.now(UTC))
    return Site(folder, demo, free_port(), free_port(), free_port(), authority())


def _settings(site: Site) -> dict[str, str]:
    """What the head of deploy/nginx.conf says, with this site's ports and paths."""
    return {
        "MYDATA__SERVER__PROFILE": "production",
        "MYDATA__SERVER__ISSUER": site.issuer,
        "MYDATA__SERVER__SOCKET": str(site.socket),
        "MYDATA__SERVER__TRUSTED_PROXIES": "unix",
        "MYDATA__SERVER__CLIENT_CERTIFICATE_HEADER": "Client-Cert",
        "MYDATA__SERVER__CLIENT_CERTIFICATE_FORMAT": "escaped_pem",
        "MYDATA__SERVER__CLIENT_CERTIFICATE_VERIFIED_HEADER": "Client-Cert-Verified",
        "MYDATA__SERVER__MTLS_ISSUER": site.mtls_issuer,
    }


def _rendered(site: Site, certificate_file: Path, key_file: Path) -> str:
    """The file that we ship, and one more server: the recipient's address that a browser comes back to."""
    shipped = (ROOT / "deploy" / "nginx.conf").read_text()
    callback = f"""
    server {{
        listen 127.0.0.1:{site.callback_port};
        location /callback {{ return 200 "$request_uri"; }}
    }}
}}
"""
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{site.port} ssl;",
        "listen 8443 ssl;": f"listen 127.0.0.1:{site.mtls_port} ssl;",
        "/etc/mydata/tls/certificate.pem": str(certificate_file),
        "/etc/mydata/tls/key.pem": str(key_file),
        "/etc/mydata/tls/client-authorities.pem": str(site.authorities),
        "server unix:/run/mydata/broker.sock;": f"server unix:{site.socket};",
        "\nhttp {": f"\nhttp {{{_BUFFERS}",
    }
    for old, new in changes.items():
        assert shipped.count(old) == 1, old
        shipped = shipped.replace(old, new)
    return shipped.rstrip().removesuffix("}") + callback


def _wait(site: Site, processes: list["subprocess.Popen[bytes]"]) -> None:
    """Until the broker answers through nginx."""
    deadline = time.monotonic() + PATIENCE
    with site.client() as http:
        while True:
            ended = [process for process in processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = [site.folder / name for name in ("output.log", "nginx.log")]
                pytest.fail("\n".join(log.read_text() for log in logs if log.exists()))
            try:
                if http.get(f"{site.issuer}/readyz").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)


def agreed(site: Site, link: str) -> str:
    """The person follows a link in their browser and agrees; path and query that they come back to."""
    person = Citizen(site.issuer, PERSONAS[0].username, site.demo.password)
    try:
        return person.agree(link)
    finally:
        person.close()


def issued(site: Site, name: str) -> Made:
    """A client's certificate of the authority that nginx knows."""
    return certificate(name, issuer=site.authority, not_after=UNTIL)
