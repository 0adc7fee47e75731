"""What is mailed to people: who, what sort of thing, when, and where to read on. Pure.

No record, no health word, no way in: a mail leads to the sign-in page and bears no token (experience N5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.web.citizen.notices import summary_lines, text_of
from broker.web.i18n import Words
from consent.inbox import DigestLine, NoticeView


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's title and text."""

    title: str
    text: str


def notice_letter(words: Words, notice: NoticeView, lines: Sequence[DigestLine], issuer: str) -> Letter:
    """One notification, a digest with a line for each thing that happened."""
    what = text_of(words, notice)
    who = notice.organisation.name(words.language) if notice.organisation else None
    told = [what, ""]
    if who is not None:
        told.append(words.gettext("Who: %(who)s", who=who))
    told.append(words.gettext("When: %(moment)s (KST)", moment=words.moment(notice.at)))
    told += [
        f"- {line.who or ''}: {line.text}, "
        + words.ngettext("%(count)s time", "%(count)s times", line.count)
        + f" ({words.moment(line.last_at)})"
        for line in summary_lines(words, lines)
    ]
    return Letter(what if who is None else f"{who}: {what}", "\n".join([*told, *_end(words, issuer)]))


def code_letter(words: Words, code: str, issuer: str) -> Letter:
    """The code that confirms an address."""
    told = [
        words.gettext("Your code is %(code)s", code=code),
        "",
        words.gettext("Enter it on the page about notices within 24 hours, to be told by mail."),
        words.gettext("If you did not ask for this, do nothing: without the code no mail is sent here."),
    ]
    return Letter(words.gettext("Confirm your mail address"), "\n".join([*told, *_end(words, issuer)]))


def _end(words: Words, issuer: str) -> list[str]:
    return [
        "",
        words.gettext("Read more after you have signed in:"),
        f"{issuer}/{words.language}/inbox",
        words.gettext("How you are told can be changed here:"),
        f"{issuer}/{words.language}/notifications",
        words.gettext("We never ask for a password by mail."),
        "",
    ]
