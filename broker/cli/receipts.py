"""`mydata receipt`: check the receipt that a citizen keeps, or its proof from the log, offline."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import read_text
from broker.cli.output import Output, OutputFormat, show_json

app = typer.Typer(
    help="Receipts of consents.",
    epilog="Example:  mydata receipt verify receipt.jws",
    no_args_is_help=True,
)


@app.callback()
def _receipts() -> None:
    """Receipts of consents."""


@app.command(epilog="Example:  mydata receipt verify receipt.jws --jwks jwks.json")
def verify(
    file: Annotated[
        Path,
        typer.Argument(help="The receipt (.jws: one line, three parts), or its proof from the log (.json)."),
    ],
    *,
    jwks: Annotated[
        Path | None,
        typer.Option(help="The broker's key set. Default: jwks.json beside it; a proof has one with it."),
    ] = None,
    vkey: Annotated[
        str | None, typer.Option(help="The log's verifier key, if you have it from elsewhere (/log/key).")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Check a receipt against the broker's key set. Needs no network, no configuration and no database.

    Exit code 0 if it holds, 1 if it is falsified, 3 if a file cannot be read.
    """
    from consent.errors import ReceiptInvalidError
    from consent.ledger.verify import FalsifiedError, UncheckableError, VerifierKeyInvalidError

    raw = read_text(file).strip()
    try:
        told = _bundle(raw, file, jwks, vkey) if raw.startswith("{") else _receipt(raw, file, jwks)
    except (ReceiptInvalidError, FalsifiedError) as error:
        if output is OutputFormat.JSON:
            show_json({"verified": False, "reason": str(error)})
        raise StopError(f"The receipt does not hold: {error}") from None
    except UncheckableError as error:
        raise StopError(f"{file} cannot be checked: {error}", code=ExitCode.COULD_NOT_CHECK) from None
    except VerifierKeyInvalidError:
        raise StopError("The log's key is not an Ed25519 verifier key", code=ExitCode.WRONG_USAGE) from None
    if output is OutputFormat.JSON:
        show_json({"verified": True, **told["members"]})
        return
    for line in told["lines"]:
        typer.echo(line)


def _receipt(raw: str, file: Path, jwks: Path | None) -> dict[str, Any]:
    """One receipt: by python-jose behind our strict parser."""
    from consent.ledger.verify import ReceiptReport
    from consent.receipt_signature import verify_receipt

    claims = verify_receipt(raw, _keys(jwks or file.with_name("jwks.json")))
    return {"members": {"receipt": claims}, "lines": ReceiptReport(claims).lines()}


def _bundle(raw: str, file: Path, jwks: Path | None, vkey: str | None) -> dict[str, Any]:
    """A receipt with its proof: the receipt by both of our verifiers, the proof by the log's."""
    from consent.ledger.verify import verify_receipt_file
    from consent.receipt_signature import verify_receipt

    beside = file.with_name("jwks.json")
    keys_file = jwks or (beside if beside.is_file() else None)
    keys = None if keys_file is None else _keys(keys_file)
    report = verify_receipt_file(raw.encode(), jwks=keys, vkey=vkey)
    bundle = json.loads(raw)
    verify_receipt(bundle["receipt"], keys or bundle["jwks"])
    log = None if report.head is None else {"index": report.index, "size": report.head.size}
    members = {"receipt": dict(report.claims), "log": log, "opened": report.is_opened}
    return {"members": members | {"keys_are_its_own": report.has_own_keys}, "lines": report.lines()}


def _keys(file: Path) -> dict[str, Any]:
    try:
        keys = json.loads(read_text(file))
    except json.JSONDecodeError:
        keys = None
    if not isinstance(keys, dict):
        raise StopError(f"{file} is not a key set", code=ExitCode.COULD_NOT_CHECK)
    return keys
