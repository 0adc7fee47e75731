"""`mydata claim`: the indemnity claim, computed from files by the rules that the recipient's process uses."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.failures import ExitCode, StopError
from broker.cli.opening import read_text
from broker.cli.output import Output, OutputFormat, show_json, show_rows

if TYPE_CHECKING:
    from connectors.services.indemnity.claim import Claim

app = typer.Typer(
    help="Indemnity claims.",
    epilog="Example:  mydata claim compute --policy policy.json --bill bill.json",
    no_args_is_help=True,
)


_Files = Annotated[list[Path] | None, typer.Option(help="More record data of the visits; may be repeated.")]


@app.callback()
def _claims() -> None:
    """Indemnity claims."""


@app.command(
    epilog="Example:  mydata claim compute --policy policy.json --bill bill-1.json bill-2.json -o json"
)
def compute(  # noqa: PLR0913 - these are the options
    *,
    policy: Annotated[Path, typer.Option(help="Record data of insurance.indemnity_policy, as JSON.")],
    bill: Annotated[
        list[Path], typer.Option(help="Record data of health.medical_bill, one or a list; may be repeated.")
    ],
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More bills.")] = None,
    detail: _Files = None,
    prescription: _Files = None,
    pharmacy_bill: _Files = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Compute what a policy pays for bills, in won, each line with the rule that gave it. Works offline."""
    from connectors.services.indemnity.claim import compute as compute_claim

    policies = _records(policy)
    if len(policies) != 1:
        raise StopError(f"{policy} must hold one policy", code=ExitCode.COULD_NOT_CHECK)
    bills = [record for path in (*bill, *(more or ())) for record in _records(path)]
    claim = compute_claim(
        policies[0],
        bills,
        details=_all(detail),
        prescriptions=_all(prescription),
        pharmacy_bills=_all(pharmacy_bill),
    )
    if output is OutputFormat.JSON:
        show_json(claim.to_json())
    else:
        _show(claim)


def _show(claim: "Claim") -> None:
    rows = [
        (line.bill_no, line.part, line.billed, line.deductible, line.over_limit, line.paid, line.rule_id)
        for line in claim.lines
    ]
    show_rows(
        ["bill", "part", "billed", "deductible", "over_limit", "paid", "rule"], rows, OutputFormat.TABLE
    )
    for reason in claim.reasons:
        place = " ".join(part for part in (reason.bill_no, reason.path) if part)
        typer.echo(f"review: {reason.rule_id} {place}".rstrip())
    typer.echo(f"payable {claim.payable} won, {claim.status}")


def _all(paths: list[Path] | None) -> list[dict[str, Any]]:
    return [record for path in paths or () for record in _records(path)]


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        loaded = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        problem = f"{path} is not JSON (line {error.lineno}, column {error.colno})"
        raise StopError(problem, code=ExitCode.COULD_NOT_CHECK) from None
    records = loaded if isinstance(loaded, list) else [loaded]
    if not all(isinstance(record, dict) for record in records):
        raise StopError(f"{path} holds something that is no record", code=ExitCode.COULD_NOT_CHECK)
    return records
