"""What happened to a person's links: each its own events, in order, and nobody else's."""

from consent.collection import NewLink, link, unlink
from consent.reading import TimelineEvent, link_timelines
from consent.vocabulary import EventType
from tests.consent.details import BILL, HOSPITAL, REGISTER
from tests.consent.office import Office


def timelines(office: Office, subject_id: str | None = None) -> dict[str, tuple[TimelineEvent, ...]]:
    with office.installation.data.read() as session:
        return link_timelines(session, office.keyring, subject_id or office.subject_id)


def test_somebody_without_a_link_has_no_timeline(office: Office) -> None:
    office.link()
    assert timelines(office, office.newcomer()) == {}


def test_each_link_has_its_own_events_in_order(office: Office) -> None:
    first, second, newcomer = office.link(HOSPITAL), office.link(REGISTER), office.newcomer()
    with office.work() as work:
        unlink(work, office.keyring, first, office.subject_id, office.clock())
        stranger = NewLink(newcomer, HOSPITAL, "P-9", (BILL,), "ko")
        link(work, office.keyring, stranger, office.clock())
    found = timelines(office)
    assert found.keys() == {first, second}
    assert [event.type for event in found[first]] == [EventType.SOURCE_LINKED, EventType.SOURCE_UNLINKED]
    assert [event.type for event in found[second]] == [EventType.SOURCE_LINKED]
    assert found[first][0].detail["holder"] == HOSPITAL
    assert found[first][0].index < found[second][0].index < found[first][1].index
