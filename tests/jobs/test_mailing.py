"""Mail: to a real server, at least once, over TLS that is verified, and nothing of a record in it."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

import broker.jobs.mailing
from broker.installation import Installation
from broker.jobs.mailing import UNREACHABLE, UNUSABLE, mail_due
from broker.jobs.notifying import notify, summarise
from consent.contacts import NewContact, add_contact, contacts_of, end_contact
from consent.models import Duty
from consent.notification_wishes import Channel, Schedule, Wishes
from consent.outbox import DutyKind
from consent.vocabulary import EventType
from tests.connectors.test_http import write_certificate
from tests.consent.office import Office, open_office
from tests.consent.telling import CODE, Died, duties, happens, reachable, wish
from tests.installation import Clock
from tests.jobs.postbox import Postbox, serving_postbox

MAIL: Final = "haneul@example.org"
SENDER: Final = "notices@broker.example"
RELEASED: Final = EventType.DELIVERY_RELEASED


@dataclass
class Post:
    """An office whose person has a confirmed address, and the server that takes mail for it."""

    office: Office
    box: Postbox
    grant_id: str

    @property
    def installation(self) -> Installation:
        return self.office.installation

    def mail(self) -> int:
        """Tell what has happened, and send what is due; answers how many mails were taken."""
        notify(self.installation, self.office.clock())
        return mail_due(self.installation, self.office.clock())

    def open_duties(self) -> list[Duty]:
        found = duties(self.office, DutyKind.MAIL_NOTICE, DutyKind.MAIL_CODE)
        return [duty for duty in found if duty.done_at is None and duty.dead_at is None]

    def faults(self) -> list[str | None]:
        with self.installation.data.read() as session:
            office = self.office
            found = contacts_of(session, office.keyring, office.subject_id, office.clock())
        return [contact.fault for contact in found]


def with_mail(bare: Installation, **rules: Any) -> Installation:  # noqa: ANN401 - values of settings
    settings = bare.settings
    mail = settings.mail.model_copy(update={"host": "127.0.0.1", "sender": SENDER, "starttls": False} | rules)
    return replace(bare, settings=settings.model_copy(update={"mail": mail}))


def posted(bare: Installation, clock: Clock, box: Postbox, **rules: Any) -> Post:  # noqa: ANN401 - values of settings
    office = open_office(with_mail(bare, port=box.port, **rules), clock)
    grant_id = office.agree().grant_id
    notify(office.installation, clock())  # what was before the address is told in the inbox only
    reachable(office, Channel.MAIL, MAIL)
    post = Post(office, box, grant_id)
    post.mail()  # the duty of the code, which is confirmed already
    assert box.mails == []
    return post


@pytest.fixture
def box() -> Iterator[Postbox]:
    with serving_postbox() as found:
        yield found


@pytest.fixture
def post(installation: Installation, clock: Clock, box: Postbox) -> Post:
    return posted(installation, clock, box)


@pytest.fixture
def sqlite_post(sqlite_installation: Installation, clock: Clock, box: Postbox) -> Post:
    """For what no database decides."""
    return posted(sqlite_installation, clock, box)


def test_a_mail_says_who_what_and_when_and_where_to_read_on(post: Post) -> None:
    happens(post.office, post.grant_id, RELEASED, payload="deadbeef")
    assert post.mail() == 1
    assert post.mail() == 0
    (mail,) = post.box.mails
    text = mail.get_content()
    assert (mail["To"], mail["From"].addresses[0].addr_spec) == (MAIL, SENDER)
    assert mail["Subject"].startswith("한빛손해보험: ")
    assert "누가: 한빛손해보험" in text
    assert "2026. 12. 1.(화) 09:00" in text
    assert "http://127.0.0.1:8000/ko/inbox" in text
    assert post.grant_id not in text
    assert "deadbeef" not in text
    assert not any(word in text for word in ("서울한빛병원", "진료", "token", "code="))
    assert post.open_duties() == []


def test_a_server_that_was_away_gets_everything_once_it_is_back(post: Post) -> None:
    for _ in range(3):
        happens(post.office, post.grant_id, RELEASED)
    post.box.is_away = True
    assert post.mail() == 0
    assert post.faults() == [UNREACHABLE]
    assert len(post.open_duties()) == 3
    post.box.is_away = False
    post.office.clock.advance(timedelta(minutes=3))
    assert post.mail() == 3
    assert len({mail["Message-ID"] for mail in post.box.mails}) == 3
    assert post.faults() == [None]
    assert post.open_duties() == []


def test_a_death_after_the_sending_sends_the_same_mail_again(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    happens(post.office, post.grant_id, RELEASED)

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(broker.jobs.mailing, "close", die)
        with pytest.raises(Died):
            post.mail()
    assert post.mail() == 0  # leased
    post.office.clock.advance(timedelta(minutes=3))
    assert post.mail() == 1
    first, second = post.box.mails
    assert first["Message-ID"] == second["Message-ID"]


def test_an_address_that_is_refused_for_good_is_not_tried_again(sqlite_post: Post) -> None:
    post = sqlite_post
    happens(post.office, post.grant_id, RELEASED)
    post.box.rcpt = "550 no such user"
    assert post.mail() == 0
    assert post.open_duties() == []
    assert post.faults() == ["mail_refused_550"]
    post.box.rcpt = "250 ok"
    happens(post.office, post.grant_id, RELEASED)
    assert post.mail() == 1
    assert post.faults() == [None]


@pytest.mark.parametrize(
    "address", ["", "@", "a@b@c", "김하늘@example.org", "a@b.example\r\nBcc: c@d.example"]
)
def test_an_address_that_is_none_holds_up_nobody(sqlite_post: Post, address: str) -> None:
    post, office = sqlite_post, sqlite_post.office
    stranger = office.newcomer()
    with office.work() as work:
        new = NewContact(stranger, Channel.MAIL, address, CODE, "ko")
        add_contact(work.session, office.keyring, new, office.clock())
    happens(office, post.grant_id, RELEASED)
    assert post.mail() == 1
    assert post.open_duties() == []
    (dead,) = (duty for duty in duties(office, DutyKind.MAIL_CODE) if duty.dead_at)
    assert dead.fault == UNUSABLE


def test_a_busy_server_holds_up_one_mail_and_no_other(sqlite_post: Post) -> None:
    post = sqlite_post
    happens(post.office, post.grant_id, RELEASED)
    post.box.data = "451 try later"
    assert post.mail() == 0
    assert [duty.fault for duty in post.open_duties()] == ["mail_refused_451"]
    post.box.data = "250 ok"
    happens(post.office, post.grant_id, RELEASED)
    assert post.mail() == 1
    post.office.clock.advance(timedelta(minutes=1))
    assert post.mail() == 1


def test_it_is_given_up_after_days_and_stays_in_the_inbox(sqlite_post: Post) -> None:
    post = sqlite_post
    happens(post.office, post.grant_id, RELEASED)
    post.box.is_away = True
    post.mail()
    post.office.clock.advance(timedelta(days=5))
    post.mail()
    (dead,) = (duty for duty in duties(post.office, DutyKind.MAIL_NOTICE) if duty.dead_at is not None)
    assert dead.fault == UNREACHABLE


def test_nothing_is_mailed_once_the_address_has_ended_or_was_erased(post: Post) -> None:
    happens(post.office, post.grant_id, RELEASED)
    notify(post.installation, post.office.clock())
    with post.office.work() as work:
        end_contact(work.session, post.office.subject_id, Channel.MAIL, post.office.clock())
    assert post.mail() == 0
    reachable(post.office, Channel.MAIL, MAIL)
    happens(post.office, post.grant_id, RELEASED)
    notify(post.installation, post.office.clock())
    post.office.keyring.erase_subject(post.office.subject_id, post.office.clock())
    assert post.mail() == 0
    assert (post.box.mails, post.open_duties()) == ([], [])


def test_a_code_goes_out_and_nothing_else_with_it(sqlite_post: Post) -> None:
    post = sqlite_post
    office = post.office
    with office.work() as work:
        new = NewContact(office.subject_id, Channel.MAIL, "new@example.org", CODE, "en")
        add_contact(work.session, office.keyring, new, office.clock())
    assert post.mail() == 1
    (mail,) = post.box.mails
    assert mail["To"] == "new@example.org"
    assert CODE in mail.get_content()
    assert "Hanbit" not in mail.get_content()
    assert CODE not in mail["Subject"]


def test_a_digest_lists_what_it_holds(sqlite_post: Post) -> None:
    post = sqlite_post
    wish(post.office, Wishes(Schedule.DAILY, Schedule.DAILY, language="en"))
    for event in (RELEASED, RELEASED, EventType.DELIVERY_REFUSED):
        happens(post.office, post.grant_id, event)
    assert post.mail() == 0
    post.office.clock.advance(timedelta(days=1))
    assert summarise(post.installation, post.office.clock()) == 1
    assert post.mail() == 1
    text = post.box.mails[0].get_content()
    assert "- Hanbit Insurance: Data was sent, 2 times" in text
    assert "- Hanbit Insurance: A request for data was refused, 1 time" in text


def test_a_broker_without_a_mail_server_owes_and_sends_none(
    sqlite_installation: Installation, clock: Clock
) -> None:
    office = open_office(sqlite_installation, clock)
    reachable(office, Channel.MAIL, MAIL)
    happens(office, office.agree().grant_id, RELEASED)
    notify(office.installation, clock())
    assert duties(office, DutyKind.MAIL_NOTICE) == []
    assert mail_due(office.installation, clock()) == 0


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    write_certificate(tmp_path / "mail.pem")
    return tmp_path / "mail.pem"


@pytest.fixture
def tls_box(certificate: Path) -> Iterator[Postbox]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving_postbox(context) as found:
        yield found


def test_mail_goes_over_tls_with_a_password(
    sqlite_installation: Installation, clock: Clock, tls_box: Postbox, certificate: Path
) -> None:
    rules = {"host": "localhost", "starttls": True, "ca_file": certificate, "username": "broker"}
    post = posted(sqlite_installation, clock, tls_box, **rules)
    happens(post.office, post.grant_id, RELEASED)
    assert post.mail() == 1
    assert tls_box.was_secured == [True]
    assert len(tls_box.logins) == 1


@pytest.mark.parametrize("rules", [{"host": "localhost"}, {"host": "127.0.0.1"}])
def test_a_server_that_nobody_vouches_for_gets_neither_password_nor_mail(
    sqlite_installation: Installation,
    clock: Clock,
    tls_box: Postbox,
    certificate: Path,
    rules: dict[str, str],
) -> None:
    trust = {"ca_file": certificate} if rules["host"] == "127.0.0.1" else {}  # right key, other name
    post = posted(sqlite_installation, clock, tls_box, starttls=True, username="broker", **rules, **trust)
    happens(post.office, post.grant_id, RELEASED)
    assert post.mail() == 0
    assert (tls_box.mails, tls_box.logins) == ([], [])


def test_a_server_that_offers_no_tls_gets_no_mail(sqlite_post: Post) -> None:
    post = sqlite_post
    secured = with_mail(post.installation, starttls=True)
    happens(post.office, post.grant_id, RELEASED)
    notify(secured, post.office.clock())
    assert mail_due(secured, post.office.clock()) == 0
    assert post.box.mails == []
