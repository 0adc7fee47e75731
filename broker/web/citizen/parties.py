"""The organisations of a consent by name, for the pages that show its terms."""

from dataclasses import dataclass

from sqlmodel import Session, col, select

from broker.installation import Installation
from broker.web.citizen.views import TermsWords, describe_terms
from broker.web.i18n import Words
from consent.models import Organisation
from consent.reading import Party, links_of, party
from consent.terms import Terms


@dataclass(frozen=True, slots=True)
class TermsReader:
    """Puts terms into words for one person: knows the catalogue, the purposes and who is linked."""

    installation: Installation
    session: Session
    subject_id: str

    def read(self, words: Words, terms: Terms, recipient: Party) -> TermsWords:
        """The terms in words, with the names of the holders that the data comes from."""
        return describe_terms(
            words,
            terms,
            purpose=self.installation.purposes.get(terms.purpose),
            parties=(recipient, [holder.name(words.language) for holder in self._holders(terms)]),
            catalogue=self.installation.catalogue,
        )

    def _holders(self, terms: Terms) -> list[Party]:
        """The holders that the terms name, or every linked one."""
        if terms.holders is None:
            links = links_of(self.session, self.installation.keyring, self.subject_id)
            return [link.holder for link in links if link.ended_at is None]
        rows = self.session.exec(
            select(Organisation).where(col(Organisation.organisation_id).in_(terms.holders))
        ).all()
        return [party(row) for row in sorted(rows, key=lambda row: row.organisation_id)]
