"""A list of what waits, as staff see it: a title, a table of plain cells, and the command that acts on it.

Pure. Operators and auditors see what is overdue in the same form.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.web.i18n import Words
from consent.oversight import DeletionEntry, Listed
from consent.vocabulary import ObligationState

SHOWN: Final = 50
"""How many entries a list shows; it says how many more there are."""

Cell = str | datetime
Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """One list. `identifier` is its place on the page; the first cell of a row is its id."""

    identifier: str
    title: str
    nothing: str
    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    total: int = 0
    late: int = 0
    more: str | None = None
    commands: tuple[str, ...] = ()


def overdue_listing(words: Words, found: Listed[DeletionEntry], *commands: str) -> Listing:
    """Deletions that are late or that a person doubts."""
    return _deletions(
        words,
        found,
        "overdue-deletions",
        words.gettext("Overdue deletions"),
        words.gettext("No recipient is late with a deletion, and nobody doubts one."),
        commands,
    )


def due_soon_listing(words: Words, found: Listed[DeletionEntry], *commands: str) -> Listing:
    """Deletions whose date is near."""
    return _deletions(
        words,
        found,
        "deletions-due-soon",
        words.gettext("Deletions due within seven days"),
        words.gettext("Nothing has to be deleted within seven days."),
        commands,
    )


def more_in_words(words: Words, more: int) -> str | None:
    """How many entries are left out; None if none is."""
    if more == 0:
        return None
    return words.ngettext("%(count)s more is not shown here.", "%(count)s more are not shown here.", more)


def time_left(words: Words, due_at: datetime, now: datetime) -> str:
    """How long until a deadline, or how late it is, in whole days."""
    days = abs(due_at - now).days
    if due_at <= now:
        if days == 0:
            return words.gettext("Less than a day late")
        return words.ngettext("%(count)s day late", "%(count)s days late", days)
    if days == 0:
        return words.gettext("Less than a day left")
    return words.ngettext("%(count)s day left", "%(count)s days left", days)


def _deletions(  # noqa: PLR0913, PLR0917 - a list is all of these
    words: Words,
    found: Listed[DeletionEntry],
    identifier: str,
    title: str,
    nothing: str,
    commands: tuple[str, ...],
) -> Listing:
    return Listing(
        identifier=identifier,
        title=title,
        nothing=nothing,
        headings=(
            words.gettext("Obligation"),
            words.gettext("Recipient"),
            words.gettext("Purpose"),
            words.gettext("State"),
            words.gettext("Due"),
        ),
        rows=tuple(
            (
                entry.obligation_id,
                entry.recipient_id,
                entry.purpose,
                _state_in_words(words, entry.state),
                entry.due_at or "–",
            )
            for entry in found.entries
        ),
        total=found.total,
        late=found.late,
        more=more_in_words(words, found.more),
        commands=commands,
    )


def _state_in_words(words: Words, state: ObligationState) -> str:
    return {
        ObligationState.PENDING: words.gettext("Recipient has not confirmed that it knows"),
        ObligationState.NOTIFIED: words.gettext("Recipient knows"),
        ObligationState.ATTESTED: words.gettext("Attested"),
        ObligationState.OVERDUE: words.gettext("No proof of deletion"),
        ObligationState.DISPUTED: words.gettext("Doubted by the person"),
    }[state]
