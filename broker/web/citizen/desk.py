"""What a citizen's handler works with: whose pages they are, a session, and the instant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from sqlmodel import Session, col, select

from broker.db import Transaction
from broker.deps import Installed, Now, Read, Tx
from broker.installation import Installation
from broker.web.citizen.views import TermsWords, describe_terms
from broker.web.i18n import Words
from broker.web.signin.guards import Citizen
from consent.models import Organisation
from consent.reading import ConsentView, LinkView, Party, consent_of, links_of, party
from consent.terms import Terms
from vault.keys.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Reader:
    """A citizen who looks, with a session to read from."""

    installation: Installation
    session: Session
    subject_id: str
    now: datetime

    @property
    def keyring(self) -> Keyring:
        """The keyring that opens what is theirs."""
        return self.installation.keyring

    def consent(self, grant_id: str) -> ConsentView:
        """One consent of theirs; raises NotFoundError, for somebody else's too."""
        return consent_of(self.session, self.keyring, self.subject_id, grant_id, self.now)

    def links(self) -> list[LinkView]:
        """Their sources, living ones first."""
        return links_of(self.session, self.keyring, self.subject_id)

    def in_words(self, words: Words, terms: Terms, recipient: Party) -> TermsWords:
        """Terms in words, with the names of the holders that the data comes from."""
        return describe_terms(
            words,
            terms,
            purpose=self.installation.purposes.get(terms.purpose),
            parties=(recipient, [holder.name(words.language) for holder in self._holders(terms)]),
            catalogue=self.installation.catalogue,
        )

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
            .order_by(col(Organisation.organisation_id))
        )
        return [party(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Desk:
    """A citizen who decides, with the one transaction of the request."""

    installation: Installation
    work: Transaction
    subject_id: str
    now: datetime

    @property
    def keyring(self) -> Keyring:
        """The keyring that opens and seals what is theirs."""
        return self.installation.keyring

    @property
    def reader(self) -> Reader:
        """The same citizen, looking; in the same transaction."""
        return Reader(self.installation, self.work.session, self.subject_id, self.now)


def get_reader(citizen: Citizen, installation: Installed, session: Read, now: Now) -> Reader:
    """The signed-in citizen with a read session."""
    return Reader(installation, session, citizen.subject_id, now)


def get_desk(citizen: Citizen, installation: Installed, work: Tx, now: Now) -> Desk:
    """The signed-in citizen with a transaction."""
    return Desk(installation, work, citizen.subject_id, now)


ReaderOf = Annotated[Reader, Depends(get_reader)]
DeskOf = Annotated[Desk, Depends(get_desk)]
