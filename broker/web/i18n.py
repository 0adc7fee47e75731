"""The two languages of the pages: texts from gettext catalogues (.po, compiled in memory), dates and amounts.

English is the language of the message ids; Korean comes from `locales/ko.po`. Dates are shown in
Korean Standard Time: every page says so in its footer.
"""

import gettext
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from importlib import resources
from typing import Final, Literal, get_args

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

Language = Literal["ko", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
DEFAULT_LANGUAGE: Final[Language] = "ko"

KST: Final = timezone(timedelta(hours=9), "KST")

# Babel's own Korean pattern prints "PM 3:04"; these are written out.
_MOMENT: Final[Mapping[Language, str]] = {"ko": "yyyy. M. d.(E) HH:mm", "en": "d MMM yyyy (E) HH:mm"}
_DAY: Final[Mapping[Language, str]] = {"ko": "yyyy. M. d.(E)", "en": "d MMM yyyy (E)"}


@dataclass(frozen=True, slots=True)
class Words:
    """One language: its texts and the way it writes dates and amounts."""

    language: Language
    translations: gettext.NullTranslations

    def gettext(self, message: str, /, **values: object) -> str:
        """The text for an English message id, with `%(name)s` filled in."""
        return self.translations.gettext(message) % values if values else self.translations.gettext(message)

    def ngettext(self, singular: str, plural: str, count: int, /, **values: object) -> str:
        """The text for a number of things; `%(count)s` is the number, grouped."""
        text = self.translations.ngettext(singular, plural, count)
        return text % {"count": self.number(count), **values}

    def choose(self, *, ko: str, en: str) -> str:
        """Whichever of two given texts is in this language."""
        return en if self.language == "en" else ko

    def moment(self, instant: datetime) -> str:
        """An aware instant in KST: `2026. 11. 23.(월) 15:04`."""
        return format_datetime(instant.astimezone(KST), _MOMENT[self.language], locale=self._locale())

    def day(self, day: date) -> str:
        """A day, or the day in KST of an aware instant: `2026. 11. 23.(월)`."""
        if isinstance(day, datetime):
            day = day.astimezone(KST).date()
        return format_date(day, _DAY[self.language], locale=self._locale())

    def won(self, amount: int) -> str:
        """An amount of whole won: `12,300원` or `₩12,300`."""
        return f"{amount:,}원" if self.language == "ko" else f"{'-' if amount < 0 else ''}₩{abs(amount):,}"

    def number(self, number: int) -> str:
        """A whole number with groups of three."""
        return f"{number:,}"

    def _locale(self) -> Locale:
        return Locale(self.language)


def load_words() -> dict[Language, Words]:
    """Read and compile the catalogues of the package."""
    return {
        "ko": Words("ko", _compile(resources.files(__package__).joinpath("locales", "ko.po").read_bytes())),
        "en": Words("en", gettext.NullTranslations()),
    }


def preferred_language(accept_language: str | None) -> Language:
    """The language of ours that an Accept-Language header puts first (RFC 9110 section 12.5.4)."""
    best: Language = DEFAULT_LANGUAGE
    best_weight = 0.0
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        weight = _weight(parameter)
        language = tag.strip().lower().partition("-")[0]
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best


def other_language(language: Language) -> Language:
    """The one that the switch leads to."""
    return "ko" if language == "en" else "en"


def language_of_path(path: str) -> Language | None:
    """The language that a page's path begins with; None for anything that is no page."""
    first = path.removeprefix("/").partition("/")[0]
    return first if first in LANGUAGES else None


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def _compile(raw_po: bytes) -> gettext.NullTranslations:
    catalogue = read_po(io.BytesIO(raw_po), locale="ko", abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
