"""`python -m consent.ledger.verify PATH [--vkey VKEY] [--jwks FILE]`: a log's directory, or a receipt's file.

Exit code 0 verified, 1 falsified, 2 wrong usage, 3 could not check.
"""

import argparse
import json
import sys
from pathlib import Path

from .directory import verify_export
from .faults import FalsifiedError, UncheckableError, VerifierKeyInvalidError
from .receipt import verify_receipt_file

_FALSIFIED = 1
_COULD_NOT_CHECK = 3


def main(arguments: list[str]) -> int:
    """Verify one exported log or one receipt, print what holds and return the exit code."""
    parser = argparse.ArgumentParser(description="Verify an exported consent log, or a receipt.")
    parser.add_argument("path", type=Path, help="the exported log; or a receipt (.jws) or its bundle (.json)")
    parser.add_argument("--vkey", help="the log's verifier key, if you have it from elsewhere")
    parser.add_argument("--jwks", type=Path, help="the issuer's key set; a bundle has one with it")
    options = parser.parse_args(arguments)
    try:
        if options.path.is_file():
            return _receipt(options.path, options.jwks, options.vkey)
        report = verify_export(options.path, options.vkey)
    except VerifierKeyInvalidError:
        parser.error("--vkey is not an Ed25519 verifier key")
    sys.stdout.write(f"{report}\n")
    return report.exit_code


def _receipt(path: Path, jwks: Path | None, vkey: str | None) -> int:
    try:
        keys = None if jwks is None else json.loads(jwks.read_bytes())
        report = verify_receipt_file(path.read_bytes(), jwks=keys, vkey=vkey)
    except FalsifiedError as error:
        sys.stdout.write(f"falsified: {error}\n")
        return _FALSIFIED
    except (UncheckableError, OSError, ValueError) as error:
        sys.stdout.write(f"unchecked: {error}\n")
        return _COULD_NOT_CHECK
    sys.stdout.write("".join(f"{line}\n" for line in ["verified", *report.lines()]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
