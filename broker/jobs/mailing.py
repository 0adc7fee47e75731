"""Mail to people: by SMTP (RFC 5321, submission RFC 6409), over TLS that is verified, with time limits.

The Message-ID is the duty's id: what is sent twice can be told by it.
"""

import logging
import smtplib
import ssl
from collections.abc import Callable
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from broker.installation import Installation
from broker.jobs.outgoing import Outgoing, close, lease
from broker.web.citizen.letters import code_letter, notice_letter
from broker.web.i18n import Language, Words, load_words
from consent.notification_wishes import Channel
from consent.outbox import MAILED, find_pushed

if TYPE_CHECKING:
    from broker.setting_sections import MailSection

_log: Final = logging.getLogger(__name__)
_TIMEOUT_SECONDS: Final = 10
_PERMANENT: Final = 500  # RFC 5321 section 4.2.1: a 5yz reply will not change by asking again
REFUSED: Final = "mail_refused_{status}"
UNREACHABLE: Final = "mail_server_unreachable"
UNUSABLE: Final = "mail_address_unusable"


class _ServerAwayError(Exception):
    """The mail server cannot be reached, or does not take us: nothing goes out for anybody."""


class _AddressUnusableError(Exception):
    """An address is none, however it came here: nothing goes out for its person."""


class _AddressRefusedError(Exception):
    """The server does not take mail for one address; `status` is its reply's code."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(REFUSED.format(status=status))


def mail_due(
    installation: Installation, now: datetime, should_stop: Callable[[], bool] = lambda: False
) -> int:
    """Send every mail that is due; answers how many the server took. One that is away ends the pass."""
    if not installation.settings.mail.host:
        return 0
    sent = 0
    words: dict[Language, Words] = {}
    with _Postman(installation.settings.mail, _host(installation)) as postman:
        while not should_stop():
            with installation.data.read() as session:
                found = find_pushed(session, now, MAILED)
            if found is None:
                break
            outgoing = lease(installation, found, Channel.MAIL, now)
            if outgoing is None:
                continue
            words = words or load_words()
            try:
                mail = _compose(installation, outgoing, words[outgoing.language])
                postman.send(mail, outgoing.to.address)
            except _ServerAwayError:
                _log.warning("mail server away", extra={"duty": outgoing.duty_id})
                close(installation, outgoing, UNREACHABLE)
                break
            except _AddressRefusedError as error:
                _log.warning("mail refused", extra={"duty": outgoing.duty_id, "status": error.status})
                close(installation, outgoing, str(error), is_final=error.status >= _PERMANENT)
            except _AddressUnusableError:
                _log.warning("mail address unusable", extra={"duty": outgoing.duty_id})
                close(installation, outgoing, UNUSABLE, is_final=True)
            else:
                close(installation, outgoing, None)
                sent += 1
    return sent


class _Postman:
    """One connection to the mail server, opened for the first mail and kept for the pass."""

    def __init__(self, rules: "MailSection", own_host: str) -> None:
        self._rules = rules
        self._own_host = own_host
        self._server: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    def send(self, mail: EmailMessage, address: str) -> None:
        """Hand one mail over. Raises _AddressRefusedError or _ServerAwayError."""
        try:
            server = self._server = self._server or self._open()
            server.send_message(mail, self._rules.sender, [address])
        except smtplib.SMTPRecipientsRefused as error:
            status, _ = next(iter(error.recipients.values()))
            raise _AddressRefusedError(status) from None
        except smtplib.SMTPDataError as error:
            raise _AddressRefusedError(error.smtp_code) from None
        except (smtplib.SMTPException, OSError) as error:
            raise _ServerAwayError from error

    def _open(self) -> smtplib.SMTP:
        rules = self._rules
        server = smtplib.SMTP(rules.host, rules.port, self._own_host, timeout=_TIMEOUT_SECONDS)
        try:
            if rules.starttls:
                trusted = ssl.create_default_context(cafile=rules.ca_file)
                server.starttls(context=trusted)
            if rules.username:
                server.login(rules.username, rules.password.get_secret_value())
        except (smtplib.SMTPException, OSError):
            server.close()
            raise
        return server


def _compose(installation: Installation, outgoing: Outgoing, words: Words) -> EmailMessage:
    """The mail: who, what sort of thing, when, and where to read on. Never a record, never a way in.

    Raises _AddressUnusableError.
    """
    issuer = installation.settings.server.issuer
    if outgoing.notice is None:
        letter = code_letter(words, outgoing.to.code, issuer)
    else:
        letter = notice_letter(words, outgoing.notice, outgoing.lines, issuer)
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["From"] = Address(
        words.gettext("MyData Consent Broker"), addr_spec=installation.settings.mail.sender
    )
    mail["To"] = _mailbox(outgoing.to.address)
    mail["Subject"] = " ".join(letter.title.split())
    mail["Date"] = format_datetime(installation.clock())
    mail["Message-ID"] = f"<{outgoing.duty_id}@{_host(installation)}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence answers it
    mail.set_content(letter.text)
    return mail


def _mailbox(address: str) -> Address:
    try:
        address.encode("ascii")  # RFC 6531 would need a server that knows it
        return Address(addr_spec=address)
    except (MessageError, ValueError, IndexError):
        raise _AddressUnusableError from None


def _host(installation: Installation) -> str:
    return urlsplit(installation.settings.server.issuer).hostname or "localhost"
