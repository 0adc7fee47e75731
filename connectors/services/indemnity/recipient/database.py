"""The insurer's own database: cases, what claims have settled, and events."""

from pathlib import Path
from typing import Final

from connectors.services.relying_party.database import RecipientDatabase

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS claim_case (
    case_id TEXT PRIMARY KEY, state TEXT NOT NULL, access TEXT NOT NULL, parent_id TEXT REFERENCES claim_case,
    event_id TEXT UNIQUE, oauth_state TEXT UNIQUE, browser_digest TEXT, code_verifier TEXT,
    access_token TEXT, refresh_token TEXT, grant_id TEXT, key_number INTEGER NOT NULL DEFAULT 1,
    delivery_id TEXT, payload_digest TEXT, records TEXT, claim TEXT, claim_no TEXT, decision_id TEXT,
    review TEXT, reviewed_decision TEXT, refusal TEXT
);
CREATE INDEX IF NOT EXISTS ix_claim_case_grant_id ON claim_case (grant_id);
CREATE INDEX IF NOT EXISTS ix_claim_case_delivery_id ON claim_case (delivery_id);
CREATE TABLE IF NOT EXISTS settled_paper (
    policy_no TEXT NOT NULL, institution TEXT NOT NULL, number TEXT NOT NULL, digest TEXT NOT NULL,
    lines TEXT NOT NULL, together TEXT NOT NULL, is_with_person INTEGER NOT NULL,
    case_id TEXT NOT NULL REFERENCES claim_case,
    PRIMARY KEY (institution, number)
);
CREATE TABLE IF NOT EXISTS policy_year (policy_no TEXT PRIMARY KEY, used TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS event (
    event_id TEXT PRIMARY KEY, event_type TEXT NOT NULL, grant_id TEXT NOT NULL, delivery_id TEXT,
    is_done INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS ix_event_is_done ON event (is_done);
"""


class InsurerDatabase(RecipientDatabase):
    """Transactions on the insurer's file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)
