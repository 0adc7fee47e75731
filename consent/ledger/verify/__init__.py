"""The verifier of log and receipts, for strangers: standard library only, and no code shared with the writer.

The folder stands alone: copy it anywhere and run `python -m verify DIR` (a log) or `python -m verify FILE` (a
receipt or its bundle). Hence the relative imports.
"""

from .directory import VerifyReport, verify_export
from .ed25519 import verify_ed25519
from .faults import FalsifiedError, UncheckableError, VerifierKeyInvalidError
from .note import SignedHead, open_checkpoint
from .p256 import verify_es256
from .proof import verify_proof
from .receipt import FORMAT as BUNDLE_FORMAT
from .receipt import ReceiptReport, verify_receipt_file, verify_receipt_jws
from .tree import verify_consistency, verify_inclusion

__all__ = [
    "BUNDLE_FORMAT",
    "FalsifiedError",
    "ReceiptReport",
    "SignedHead",
    "UncheckableError",
    "VerifierKeyInvalidError",
    "VerifyReport",
    "open_checkpoint",
    "verify_consistency",
    "verify_ed25519",
    "verify_es256",
    "verify_export",
    "verify_inclusion",
    "verify_proof",
    "verify_receipt_file",
    "verify_receipt_jws",
]
