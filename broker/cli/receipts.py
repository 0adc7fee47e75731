"""`mydata receipt`: check the receipt that a citizen keeps, offline."""

import json
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import read_text
from broker.cli.output import Output, OutputFormat, show_json, show_members

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
    file: Annotated[Path, typer.Argument(help="The receipt: one line, three parts with dots between.")],
    *,
    jwks: Annotated[
        Path | None, typer.Option(help="The broker's key set. Default: jwks.json beside the receipt.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Check a receipt against the broker's key set. Needs no network, no configuration and no database.

    Exit code 0 if it holds, 1 if it is falsified, 3 if a file cannot be read.
    """
    from consent.errors import ReceiptInvalidError
    from consent.receipt_signature import verify_receipt

    keys_file = jwks or file.with_name("jwks.json")
    unverified_receipt = read_text(file).strip()
    try:
        keys = json.loads(read_text(keys_file))
    except json.JSONDecodeError:
        raise StopError(f"{keys_file} is not a key set", code=ExitCode.COULD_NOT_CHECK) from None
    if not isinstance(keys, dict):
        raise StopError(f"{keys_file} is not a key set", code=ExitCode.COULD_NOT_CHECK)
    try:
        claims = verify_receipt(unverified_receipt, keys)
    except ReceiptInvalidError as error:
        if output is OutputFormat.JSON:
            show_json({"verified": False, "reason": str(error)})
        raise StopError(f"The receipt does not hold: {error}") from None
    if output is OutputFormat.JSON:
        show_json({"verified": True, "receipt": claims})
        return
    show_members(
        {
            "verified": True,
            "issuer": claims["iss"],
            "grant_id": claims["grant_id"],
            "receipt_id": claims["jti"],
        },
        output,
    )
