"""`python -m consent.ledger.verify DIR [--vkey VKEY]`.

Exit code 0 verified, 1 falsified, 2 wrong usage, 3 could not check.
"""

import argparse
import sys
from pathlib import Path

from .directory import verify_export
from .faults import VerifierKeyInvalidError


def main(arguments: list[str]) -> int:
    """Verify one exported log, print one line and return the exit code."""
    parser = argparse.ArgumentParser(description="Verify an exported consent log.")
    parser.add_argument("directory", type=Path, help="the exported log")
    parser.add_argument("--vkey", help="the log's verifier key, if you have it from elsewhere")
    options = parser.parse_args(arguments)
    try:
        report = verify_export(options.directory, options.vkey)
    except VerifierKeyInvalidError:
        parser.error("--vkey is not an Ed25519 verifier key")
    sys.stdout.write(f"{report}\n")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
