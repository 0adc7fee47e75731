"""The log's verifier, for strangers: standard library only, and no code shared with the writer.

The folder stands alone: copy it anywhere and run `python -m verify DIR`. Hence the relative imports.
"""

from .directory import VerifyReport, verify_export
from .ed25519 import verify_ed25519
from .faults import FalsifiedError, UncheckableError, VerifierKeyInvalidError
from .note import SignedHead, open_checkpoint
from .p256 import verify_es256
from .proof import verify_proof
from .tree import verify_consistency, verify_inclusion

__all__ = [
    "FalsifiedError",
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
]
