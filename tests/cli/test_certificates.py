"""The doctor on client certificates: clients that could never bring theirs, and a way that is not safe."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.cli.diagnosis.certificates import check_certificates, check_tls_key
from broker.cli.diagnosis.finding import Finding
from broker.installation import Installation
from broker.oauth.client_metadata import ClientMetadata
from tests.cli.conftest import run
from tests.configured import configured
from tests.installation import Clock
from tests.oauth.by_certificate import BY_ASSERTION, BY_CHAIN, BY_ITSELF, SELF_SIGNED, Counter, opened

NONE = {"client_certificate_header": "", "client_certificate_verified_header": "", "mtls_issuer": ""}
HERE = {"trusted_proxies": ("unix", "127.0.0.0/8", "::1")}


@pytest.fixture
def counter(sqlite_installation: Installation, clock: Clock) -> Iterator[Counter]:
    yield from opened(sqlite_installation, clock)


def found(counter: Counter, **changes: object) -> Finding:
    server = configured(counter.installation, "server", **changes).settings.server
    with counter.installation.data.read() as session:
        return check_certificates(session, server)


@pytest.mark.parametrize("metadata", [BY_CHAIN, BY_ITSELF, BY_ASSERTION])
def test_clients_that_could_never_bring_theirs(counter: Counter, metadata: ClientMetadata) -> None:
    assert found(counter, **NONE).outcome == "ok"
    counter.client("needs-one", metadata, keys=[SELF_SIGNED.jwk])
    bad = found(counter, **NONE)
    assert (bad.outcome, "needs-one" in bad.detail, bool(bad.cure)) == ("failed", True, True)
    without_word = found(counter, client_certificate_verified_header="", **HERE)
    assert without_word.outcome == ("failed" if metadata is BY_CHAIN else "ok")
    assert found(counter, **HERE).outcome == "ok"


def test_a_tls_key_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    assert check_tls_key(file).outcome == "failed"
    file.touch()
    for mode, outcome in ((0o640, "failed"), (0o604, "failed"), (0o600, "ok"), (0o400, "ok")):
        file.chmod(mode)
        assert check_tls_key(file).outcome == outcome


def test_the_doctor_looks_at_both(environ: dict[str, str], tmp_path: Path) -> None:
    key_file = tmp_path / "key.pem"
    key_file.touch()
    key_file.chmod(0o644)  # whatever the umask is
    tls = {"MYDATA__TLS__CERTIFICATE_FILE": "certificate.pem", "MYDATA__TLS__KEY_FILE": str(key_file)}
    rows = {row["check"]: row["outcome"] for row in run(environ | tls, "doctor", "-o", "json").json()}
    assert (rows["TLS key file"], rows["client certificates"]) == ("failed", "ok")


def test_a_proxy_on_another_machine(counter: Counter) -> None:
    assert found(counter).outcome == "warning"
    assert found(counter, trusted_proxies=("unix", "10.0.0.0/8")).outcome == "warning"
    assert found(counter, **NONE).outcome == "ok"
