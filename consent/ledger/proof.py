"""Proofs for strangers: one entry is in the log (c2sp.org/tlog-proof), and the log only ever grew."""

import base64
from typing import Final

from sqlmodel import Session

from consent.ledger.checkpoint import newest_checkpoint
from consent.ledger.entries import read_head
from consent.ledger.errors import NotInLogError
from consent.ledger.tiles import HashReader
from consent.ledger.tree import consistency_path, inclusion_path

PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"


def inclusion_proof(session: Session, index: int) -> str:
    """The tlog-proof of one entry under the newest checkpoint.

    Raises NotInLogError if no checkpoint covers the index yet.
    """
    checkpoint = newest_checkpoint(session)
    if checkpoint is None:
        raise NotInLogError
    path = inclusion_path(HashReader(session).lookup, index, checkpoint.size)
    hashes = "".join(f"{base64.b64encode(digest).decode('ascii')}\n" for digest in path)
    return f"{PROOF_HEADER}\nindex {index}\n{hashes}\n{checkpoint.note}"


def consistency_proof(session: Session, old_size: int, new_size: int) -> list[bytes]:
    """The hashes that prove the tree of `new_size` continues the one of `old_size` (RFC 6962 section 2.1.2).

    Raises NotInLogError unless 0 <= old_size <= new_size <= the committed size.
    """
    size, _ = read_head(session)
    if new_size > size:
        raise NotInLogError
    return consistency_path(HashReader(session).lookup, old_size, new_size)
