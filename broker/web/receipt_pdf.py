"""A receipt as a PDF for people (PDF/A-3a, tagged), with the signed file attached to it.

Typst sets it from a template of ours. What a receipt says goes in as data only: nobody's text is ever source.
Nothing is fetched while it is set, no package and no font.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any, Final

import orjson
import typst

from broker.web.citizen.receipts import ReceiptWords
from broker.web.errors import NoKoreanFontError
from broker.web.i18n import Words
from consent.receipt_reading import ReceiptView

_KOREAN: Final = ("Noto Sans CJK KR", "Noto Sans KR", "Pretendard", "NanumGothic", "Noto Serif CJK KR")
_LATIN: Final = ("Noto Sans", "DejaVu Sans", "Libertinus Serif")
_MONO: Final = ("DejaVu Sans Mono",)  # comes with typst
_STANDARD: Final = "a-3a"

Pairs = list[tuple[str, list[str]]]


class Printer:
    """Sets receipts. The machine's fonts are looked through once, at the first receipt."""

    def __init__(self, fonts: Sequence[str] | None = None) -> None:
        """`fonts` are folders to look through instead of the system's own."""
        self._folders = fonts
        self._fonts: typst.Fonts | None = None

    def print(self, receipt: ReceiptWords, view: ReceiptView, words: Words) -> bytes:
        """The PDF in the language of `words`. Raises NoKoreanFontError: Korean would come out as boxes."""
        fonts = self._found()
        content = describe(receipt, view, words) | {
            "font": _families(fonts, words.language),
            "mono": list(_MONO),
        }
        compiled = typst.compile(
            _template(),
            font_paths=fonts,
            ignore_system_fonts=True,
            sys_inputs={"receipt": orjson.dumps(content).decode()},
            pdf_standards=[_STANDARD],
            timestamp=int(view.claims["iat"]),  # the same receipt makes the same file
        )
        if not isinstance(compiled, bytes):  # several files are made of images only
            raise TypeError
        return compiled

    def _found(self) -> typst.Fonts:
        if self._fonts is None:
            here = self._folders is None
            self._fonts = typst.Fonts(include_system_fonts=here, font_paths=list(self._folders or []))
        return self._fonts


def describe(receipt: ReceiptWords, view: ReceiptView, words: Words) -> dict[str, Any]:
    """Everything that the PDF says, as JSON values."""
    claims = receipt.claims
    issuer = str(claims["iss"])
    return {
        "language": words.language,
        "title": words.gettext("Consent receipt"),
        "state": receipt.kind,
        "lead": words.gettext(
            "Your proof of what was agreed. It is signed: nobody can change it unnoticed, not even we."
        ),
        "footer": f"{issuer} · {claims['jti']}",
        "words": {"verify": words.gettext("Check it yourself, without us")},
        "sections": [
            _section(words.gettext("What was agreed"), _seven_items(receipt, words)),
            _section(words.gettext("What became of it"), _life(receipt, words)),
            _section(words.gettext("Your rights"), _rights(claims, words)),
        ],
        "verify": [
            words.gettext(
                "Open %(address)s and paste the receipt: nothing is stored.",
                address=f"{issuer}/{words.language}/verify",
            ),
            words.gettext("Or offline: mydata receipt verify receipt.jws --jwks jwks.json"),
            words.gettext("The signed file (receipt.jws) is attached to this PDF."),
        ],
        "digests": [
            (words.gettext("Fingerprint of the terms"), claims["terms_sha256"]),
            (words.gettext("Fingerprint of the text you read"), claims["notice"]["sha256"]),
        ],
        "jws": view.jws,
    }


def _seven_items(receipt: ReceiptWords, words: Words) -> Pairs:
    """In the order of PIPA's decree article 42-5(3)."""
    terms = receipt.terms
    needed = {
        True: words.gettext("Needed for this purpose"),
        False: words.gettext("Your choice: works without it"),
    }
    return [
        (words.gettext("What for"), [terms.purpose_name]),
        (words.gettext("Who sends it"), list(terms.holders)),
        (
            words.gettext("Who receives it"),
            [terms.recipient_name, terms.recipient_number, terms.recipient_contact],
        ),
        (
            words.gettext("What"),
            [f"{item.label} · {item.mode} · {needed[item.is_required]}" for item in terms.items],
        ),
        (words.gettext("How often"), [terms.frequency]),
        (words.gettext("Until when"), [terms.until]),
        (words.gettext("How long it is kept"), [terms.retention]),
    ]


def _life(receipt: ReceiptWords, words: Words) -> Pairs:
    told: Pairs = [(words.gettext("Agreed and signed"), [words.moment(receipt.agreed_at)])]
    if receipt.ended_at is not None:
        reason = [receipt.reason] if receipt.reason is not None else []
        told.append((words.gettext("Ended"), [receipt.kind, words.moment(receipt.ended_at), *reason]))
        end: Mapping[str, Any] = receipt.claims["end"]
        sent = words.ngettext("%(count)s delivery", "%(count)s deliveries", end["delivered_count"])
        told.append((words.gettext("Sent until then"), [sent]))
    if receipt.due_at is not None:
        told.append((words.gettext("The recipient deletes it by"), [_day(words, receipt.due_at)]))
    if receipt.attested_at is not None:
        told.append((words.gettext("Deletion confirmed"), [words.moment(receipt.attested_at)]))
    told.append((words.gettext("Consent"), [str(receipt.claims["grant_id"])]))
    return told


def _rights(claims: Mapping[str, Any], words: Words) -> Pairs:
    return [
        (words.gettext("Stop or withdraw"), [str(claims["withdrawal"]["exercised_at"]["@id"])]),
        (words.gettext("See every pull"), [str(claims["rights"][0]["exercised_at"]["@id"])]),
    ]


def _day(words: Words, instant: datetime) -> str:
    return words.day(instant)


def _section(title: str, pairs: Pairs) -> dict[str, Any]:
    return {"title": title, "rows": pairs}


def _families(fonts: typst.Fonts, language: str) -> list[str]:
    """The families to set with, the best first; the last resort comes with typst."""
    known = set(fonts.families())
    korean = [family for family in _KOREAN if family in known]
    if language == "ko" and not korean:
        raise NoKoreanFontError
    return [*korean, *(family for family in _LATIN if family in known)]


def _template() -> bytes:
    return resources.files(__package__).joinpath("pdf", "receipt.typ").read_bytes()
