"""What a citizen's handler works with: whose pages they are, a session, and the instant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from sqlmodel import Session, col, select

from broker.db import Transaction
from broker.deps import Installed, Now, Read, Tx
from broker.installation import Installation
from broker.oauth.tokens import SignedIn
from broker.web.citizen.deleting import DeletionWords, deletion
from broker.web.citizen.views import TermsWords, describe_terms
from broker.web.errors import ActingOverError
from broker.web.i18n import Words
from broker.web.signin.guards import Citizen
from consent.errors import UnknownPurposeError
from consent.models import Organisation
from consent.owed import attestation_of, obligation_of
from consent.people_vocabulary import Action
from consent.purposes import Purpose
from consent.reading import ConsentView, LinkView, Party, consent_of, links_of, party
from consent.revisions import withdrawn
from consent.standing import Acting, find_acting
from consent.terms import Terms
from vault.keys.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Reader:
    """A citizen who looks, with a session to read from."""

    installation: Installation
    session: Session
    subject_id: str
    now: datetime
    acting: Acting | None = None

    @property
    def keyring(self) -> Keyring:
        """The keyring that opens what is theirs."""
        return self.installation.keyring

    def covers(self, purpose: str) -> bool:
        """Whether what is for this purpose may be seen here: everything, unless somebody acts for them."""
        return self.acting is None or self.acting.scope.allows(Action.SEE, purpose)

    def consent(self, grant_id: str) -> ConsentView:
        """One consent of theirs; raises NotFoundError, for somebody else's too."""
        return consent_of(self.session, self.keyring, self.subject_id, grant_id, self.now)

    def links(self) -> list[LinkView]:
        """Their sources, living ones first."""
        return links_of(self.session, self.keyring, self.subject_id)

    def deletion(self, words: Words, grant_id: str) -> DeletionWords | None:
        """What the recipient of a consent of theirs must delete; None without anything that it may store."""
        obligation = obligation_of(self.session, self.subject_id, grant_id)
        attestation = attestation_of(self.session, self.keyring, self.subject_id, grant_id)
        return deletion(words, obligation, attestation)

    def in_words(self, words: Words, terms: Terms, recipient: Party) -> TermsWords:
        """Terms in words, with the names of the holders that the data comes from."""
        return describe_terms(
            words,
            terms,
            purpose=self.purpose(terms.purpose),
            parties=(recipient, [holder.name(words.language) for holder in self._holders(terms)]),
            catalogue=self.installation.catalogue,
        )

    def purpose(self, code: str) -> Purpose:
        """A purpose as it reads now, or as it read last where nobody declares it any more."""
        try:
            return self.installation.purposes.get(code)
        except UnknownPurposeError:
            return withdrawn(self.session, code)

    def holder_ids(self, terms: Terms) -> list[str]:
        """The ids of the holders that the page names: agreeing agrees to these and no others."""
        return [holder.organisation_id for holder in self._holders(terms)]

    def _holders(self, terms: Terms) -> list[Party]:
        """The holders that the terms name, or every linked one."""
        if terms.holders is None:
            return [link.holder for link in self.links() if link.ended_at is None]
        rows = self.session.exec(
            select(Organisation)
            .where(col(Organisation.organisation_id).in_(terms.holders))
            .order_by(col(Organisation.organisation_id)),
        )
        return [party(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Desk:
    """A citizen who decides, with the one transaction of the request.

    `signed_in` is how they signed in, or whoever acts for them did: then it is in no session of theirs.
    """

    installation: Installation
    work: Transaction
    subject_id: str
    now: datetime
    acting: Acting | None = None
    signed_in: SignedIn | None = None

    @property
    def keyring(self) -> Keyring:
        """The keyring that opens and seals what is theirs."""
        return self.installation.keyring

    @property
    def reader(self) -> Reader:
        """The same citizen, looking; in the same transaction."""
        return Reader(self.installation, self.work.session, self.subject_id, self.now, self.acting)


def get_reader(citizen: Citizen, installation: Installed, session: Read, now: Now) -> Reader:
    """The signed-in citizen with a read session."""
    acting = None if citizen.acting is None else citizen.acting.acting
    return Reader(installation, session, citizen.subject_id, now, acting)


def get_desk(citizen: Citizen, installation: Installed, work: Tx, now: Now) -> Desk:
    """The signed-in citizen with a transaction. Who acts for one does so until it has committed."""
    if citizen.acting is None:
        return Desk(installation, work, citizen.subject_id, now, signed_in=citizen.signed_in)
    chosen = citizen.acting.acting
    held = find_acting(work.session, chosen.representation_id, chosen.representative_id, now, is_held=True)
    if held is None:
        raise ActingOverError
    work.acting = held.detail()
    own = citizen.signed_in
    signed_in = None if own is None else SignedIn(held.subject_id, own.auth_time, own.acr)
    return Desk(installation, work, held.subject_id, now, held, signed_in)


ReaderOf = Annotated[Reader, Depends(get_reader)]
DeskOf = Annotated[Desk, Depends(get_desk)]
