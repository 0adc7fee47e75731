"""A receipt and its bundle by the strangers' verifier: every change is found, by bare Python."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from broker.web.verifying import verifier_archive
from consent.ledger.checkpoint import NoteKey
from consent.ledger.entries import Entry
from consent.ledger.notes import Checkpoint
from consent.ledger.tree import extend, leaf_hash, root
from consent.ledger.verify import (
    BUNDLE_FORMAT,
    FalsifiedError,
    UncheckableError,
    VerifierKeyInvalidError,
    verify_receipt_file,
    verify_receipt_jws,
)
from consent.ledger.verify.__main__ import main
from consent.receipt_signature import ReceiptSigner
from consent.receipt_vocabulary import EVENTS_OF_KIND, ReceiptKind
from tests.consent.ledger.making import fixed_key, made_key

AT: Final = datetime(2026, 12, 1, tzinfo=UTC)
STAMP: Final = "2026-12-01T00:00:00.000000Z"
KEY: Final = ec.derive_private_key(7, ec.SECP256R1())
OPENING: Final = bytes(range(32))
TERMS: Final = {"purpose": "p", "items": []}
DETAIL: Final = {"grant_id": "g", "terms": TERMS, "notice": "ab"}


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def jwk() -> dict[str, str]:
    numbers = KEY.public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32)).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "kid": "r-1", "x": x, "y": y}


JWKS: Final = {"keys": [{"kty": "RSA", "kid": "o"}, jwk()]}


def sign(content: dict[str, Any]) -> str:
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ReceiptSigner(pem, "r-1", "https://broker.example").sign(content, receipt_id="j", issued_at=1)


def content_of(kind: ReceiptKind = ReceiptKind.GRANT) -> dict[str, Any]:
    return {
        "kind": kind.value,
        "grant_id": "g",
        "given_at": STAMP,
        "end": {"at": STAMP},
        "obligation": {"attested_at": STAMP},
        "data_subject": {"ref": "handle"},
        "recipient": {"id": "hanbit"},
        "process": {"purpose": {"code": "p"}},
        "notice": {"sha256": "ab"},
        "terms": TERMS,
    }


def bundle(
    kind: ReceiptKind = ReceiptKind.GRANT,
    *,
    detail: dict[str, Any] | None = None,
    key: NoteKey | None = None,
    **changed: Any,  # noqa: ANN401 - of the entry
) -> dict[str, Any]:
    """A bundle that holds, of a log with one entry."""
    raw_detail = json.dumps(detail or DETAIL).encode()
    told: dict[str, Any] = {
        "type": EVENTS_OF_KIND[kind].value,
        "at": AT,
        "handle": "handle",
        "recipient": "hanbit",
        "purpose": "p",
        "facts": {},
        "commitment": hmac.digest(OPENING, raw_detail, hashlib.sha256),
        "detail_sealed": b"",
    }
    leaf = Entry(**(told | changed)).leaf()
    size, frontier = extend(0, b"", [leaf_hash(leaf)])
    signed: Checkpoint = (key or fixed_key()).sign(size, root(size, frontier))
    return {
        "format": BUNDLE_FORMAT,
        "receipt": sign(content_of(kind)),
        "jwks": JWKS,
        "log_key": fixed_key().vkey,
        "entry": {
            "index": 0,
            "leaf": b64(leaf),
            "proof": f"c2sp.org/tlog-proof@v1\nindex 0\n\n{signed.note}",
        },
        "opening": {"key": b64(OPENING), "detail": b64(raw_detail)},
    }


def verify(made: dict[str, Any], **keys: Any) -> Any:  # noqa: ANN401 - a report
    return verify_receipt_file(json.dumps(made).encode(), **keys)


Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> dict[str, Any]:
    made = deepcopy(bundle())
    change(made)
    return made


def with_receipt(**members: Any) -> Change:  # noqa: ANN401 - any JSON
    return lambda made: made.update(receipt=sign(content_of() | members))


# Falsified


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: made.update(receipt="a.b"), "it is no compact JWS"),
        (lambda made: made.update(receipt="a.b.c"), "a part of it is not base64url"),
        (lambda made: made.update(receipt=made["receipt"] + "="), "a part of it is not base64url"),
        (lambda made: made.update(receipt=made["receipt"][:-6] + "AAAAAA"), "the signature does not match"),
        (lambda made: made.update(jwks={"keys": []}), "no receipt key of this id"),
        (lambda made: made.update(jwks={"keys": None}), "no receipt key of this id"),
        (lambda made: made.update(jwks={"keys": [jwk(), jwk()]}), "no receipt key of this id"),
        (lambda made: made["entry"].update(index=1), "its index is not the proven one"),
        (lambda made: made["entry"].update(leaf=b64(b"{}")), "is not at index 0"),
        (with_receipt(kind="renewal"), "its type is not"),
        (with_receipt(kind="unheard"), "its type is not"),
        (with_receipt(given_at="2026-12-02T00:00:00.000000Z"), "its at is not"),
        (with_receipt(data_subject={"ref": "other"}), "its handle is not"),
        (with_receipt(data_subject="handle"), "its handle is not"),
        (with_receipt(recipient={"id": "other"}), "its recipient is not"),
        (with_receipt(process={}), "its purpose is not"),
        (with_receipt(grant_id="other"), "its grant_id is not"),
        (with_receipt(terms={}), "its terms is not"),
        (with_receipt(notice={"sha256": "cd"}), "its notice is not"),
        (lambda made: made["opening"].update(detail=b64(b"{}")), "not what the entry commits to"),
        (lambda made: made["opening"].update(key=b64(OPENING + b"\0")), "not what the entry commits to"),
    ],
)
def test_what_was_changed_is_found(change: Change, reason: str) -> None:
    with pytest.raises(FalsifiedError) as caught:
        verify(changed(change))
    assert reason in str(caught.value)


def segment(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "consent-receipt+jws", "kid": "r-1"},
        {"alg": "ES256", "typ": "JWT", "kid": "r-1"},
        {"alg": "ES256", "typ": "consent-receipt+jws", "kid": "r-1", "crit": []},
        {"alg": "ES256"},
    ],
)
def test_another_header_is_no_receipt(header: dict[str, Any]) -> None:
    with pytest.raises(FalsifiedError):
        verify_receipt_jws(f"{segment(header)}.{segment({})}.AAAA", JWKS)


@pytest.mark.parametrize("member", [{"grant_id": 1}, {"grant_id": None}])
def test_what_was_signed_for_another_use_is_no_receipt(member: dict[str, Any]) -> None:
    with pytest.raises(FalsifiedError, match="another use"):
        verify_receipt_jws(sign(content_of() | member), JWKS)


def test_a_log_of_another_key_is_found() -> None:
    with pytest.raises(FalsifiedError):
        verify(bundle(key=made_key()))
    with pytest.raises(VerifierKeyInvalidError):
        verify(bundle(), vkey=fixed_key().vkey.replace("broker.example", "broken.example"))


# Could not be checked


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        "영수증".encode(),
        "영.수.증".encode(),
        b'{"format": "another"}',
        b"{" * 100_000,
        b" " * (1024 * 1024 + 1),
    ],
)
def test_what_is_no_receipt_could_not_be_checked(raw: bytes) -> None:
    for keys in (None, JWKS):
        with pytest.raises((UncheckableError, FalsifiedError)):
            verify_receipt_file(raw, jwks=keys)


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.pop("jwks"),
        lambda made: made.pop("log_key"),
        lambda made: made.pop("entry"),
        lambda made: made["entry"].update(leaf="é"),
        lambda made: made.update(opening="open"),
        lambda made: made["opening"].pop("key"),
    ],
)
def test_a_bundle_with_a_piece_missing_could_not_be_checked(change: Change) -> None:
    with pytest.raises(UncheckableError):
        verify(changed(change))


# Verified


def test_a_receipt_alone_is_verified_by_the_key_set() -> None:
    report = verify_receipt_file(f"{sign(content_of())}\n".encode(), jwks=JWKS)
    assert (report.claims["grant_id"], report.head, report.has_own_keys) == ("g", None, False)
    assert len(report.lines()) == 2


@pytest.mark.parametrize("kind", list(ReceiptKind))
def test_a_bundle_of_every_kind_is_verified(kind: ReceiptKind) -> None:
    report = verify(bundle(kind))
    assert (report.index, report.is_opened, report.has_own_keys) == (0, True, True)
    assert any("in the log: entry 0 of 1" in line for line in report.lines())
    assert "keys came with the bundle" in report.lines()[-1]


def test_with_keys_from_elsewhere_nothing_is_taken_from_the_bundle() -> None:
    made = bundle() | {"jwks": "none", "log_key": None}
    report = verify(made, jwks=JWKS, vkey=f"{fixed_key().vkey}\n")
    assert not report.has_own_keys


def test_a_bundle_that_is_not_opened_is_verified_too() -> None:
    made = bundle()
    del made["opening"]
    report = verify(made)
    assert not report.is_opened
    assert any("it was not opened" in line for line in report.lines())


def test_the_detail_of_an_end_names_only_the_grant() -> None:
    assert verify(bundle(ReceiptKind.WITHDRAWAL, detail={"grant_id": "g"})).is_opened


# The program


def test_the_program_tells_its_outcome_by_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, keys = tmp_path / "proof.json", tmp_path / "jwks.json"
    file.write_text(json.dumps(bundle()))
    keys.write_text(json.dumps(JWKS))
    assert main([str(file)]) == 0
    assert main([str(file), "--jwks", str(keys), "--vkey", fixed_key().vkey]) == 0
    assert capsys.readouterr().out.count("verified\n") == 2
    file.write_text(json.dumps(changed(with_receipt(terms={}))))
    assert main([str(file)]) == 1
    assert capsys.readouterr().out.startswith("falsified: opening")
    keys.write_text("{")
    for arguments in (["--jwks", str(keys)], ["--jwks", str(tmp_path / "none.json")]):
        assert main([str(file), *arguments]) == 3
    file.write_text("no receipt")
    assert main([str(file)]) == 3
    assert capsys.readouterr().out.startswith("unchecked: ")
    with pytest.raises(SystemExit) as caught:
        main([str(_bundled(tmp_path)), "--vkey", "no key"])
    assert caught.value.code == 2


def _bundled(folder: Path) -> Path:
    file = folder / "good.json"
    file.write_text(json.dumps(bundle()))
    return file


def test_the_downloaded_verifier_runs_on_bare_python(tmp_path: Path) -> None:
    archive = tmp_path / "verifier.pyz"
    archive.write_bytes(verifier_archive())
    assert verifier_archive() == archive.read_bytes()
    assert "verify/receipt.py" in zipfile.ZipFile(BytesIO(archive.read_bytes())).namelist()
    done = subprocess.run(
        [sys.executable, "-S", str(archive), str(_bundled(tmp_path))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[0], done.stderr) == (0, "verified", "")
