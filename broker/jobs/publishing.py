"""From the committed head outwards: full tiles, a signed checkpoint, and the anchor outside the database."""

from datetime import datetime

from broker.db import transaction
from broker.installation import Installation
from broker.service_keys import LOG_KEY
from consent.ledger.anchor import write_anchor
from consent.ledger.checkpoint import NoteKey, sign_head
from consent.ledger.notes import Checkpoint
from consent.ledger.tiles import build_tiles
from vault.errors import KeyringMissingError


def log_key(installation: Installation) -> NoteKey:
    """The log's signing key under its origin. Raises KeyringMissingError without one."""
    keys = installation.keyring.service_keys(LOG_KEY)
    if not keys:
        raise KeyringMissingError("there is no key that signs the log")
    return NoteKey(keys[0].private_pem, installation.settings.ledger.origin)


def publish(installation: Installation, now: datetime) -> Checkpoint:
    """Build what tiles are full, sign the head as it is committed, then write the anchor.

    Raises LogForkError or AnchorInvalidError: a log that was rolled back is not signed.
    """
    key = log_key(installation)
    anchor = installation.settings.ledger.anchor_file
    with transaction(installation.data) as work:
        build_tiles(work.session)
    with transaction(installation.data) as work:
        checkpoint = sign_head(work.session, key, now=now, anchor=anchor)
    if anchor is not None:
        write_anchor(anchor, checkpoint.note)
    return checkpoint
