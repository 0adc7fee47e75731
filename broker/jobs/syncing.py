"""Asking holders that have an interface for what is new: link by link, page by page, each page one commit.

What was taken stays taken when the process dies: cursor and mark lie beside the records. A holder that is
slow, away, broken or wrong costs its own link some time, and nobody else anything.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from broker.db import transaction
from broker.installation import Installation
from broker.jobs.arriving import Outcome, take_in
from broker.jobs.keeping import divide, keep_contradicting, keep_faulty
from broker.service_keys import OAUTH_KEY
from connectors.errors import HolderFaultError, HolderRefusedError, OutboundError, rule_of
from connectors.http import Limits, OutboundClient
from connectors.sources.base import Faulty, SourceRecord
from connectors.sources.catalog import sources_of
from connectors.sources.holder_api import HolderApi, Page, Question
from connectors.sources.transmission import PageWish, SigningKey, Transmission
from consent.collection import COLLECTION_PURPOSE, CYCLE, RETENTION
from consent.errors import ConsentError
from consent.models import SourceLink
from consent.progress import Task, Turn, due_links, fail, is_living, refuse, reject, take, turn_page
from consent.roles import Capability
from consent.vocabulary import RefusalReason
from vault.errors import ErasedError, VaultError

_log: Final = logging.getLogger(__name__)

_Came = TypeVar("_Came", bound=SourceRecord | Faulty)

FOREIGN_PERSON: Final = "foreign_person"
NOT_REACHED: Final = frozenset({"timed_out", "unreachable"})

_LIMITS: Final = Limits(connect_seconds=5, read_seconds=10, total_seconds=20, attempts=1)
_MOST_PAGES: Final = 1000
"""Of one link in one run; the next run goes on from there."""


@dataclass(slots=True)
class Synced:
    """What asking for one link came to. `fault` is a rule, `refusal` one of the eleven legal grounds.

    `doubted` records are taken, and have something that looks wrong, such as a check digit.
    """

    link_id: str
    holder_id: str
    pages: int = 0
    added: int = 0
    corrected: int = 0
    unchanged: int = 0
    held: int = 0
    refused: int = 0
    doubted: int = 0
    fault: str | None = None
    refusal: str | None = None

    def count(self, outcomes: list[Outcome], refused: int) -> None:
        """Add one page."""
        self.pages += 1
        self.refused += refused
        for outcome in outcomes:
            name = outcome.what
            setattr(self, name, getattr(self, name) + 1)


def sync_due(
    installation: Installation, now: datetime, should_stop: Callable[[], bool] = lambda: False
) -> list[Synced]:
    """Ask for every link that is due, until told to stop."""
    return sync(installation, now, holder_id=None, is_forced=False, should_stop=should_stop)


def sync(
    installation: Installation,
    now: datetime,
    *,
    holder_id: str | None,
    is_forced: bool,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Synced]:
    """Ask for every link that is due, or forced for all; of one holder, or of all of them.

    A link that another process is busy with is left to it.
    """
    if not installation.deployment.may(Capability.COLLECT):
        return []  # links of another role stay as they are, and nobody is asked
    with installation.data.read() as session:
        due = due_links(session, now, holder_id=holder_id, is_forced=is_forced)
        role = installation.deployment.role
        link_ids = [link_id for link_id in due if session.get_one(SourceLink, link_id).role == role]
    if not link_ids:
        return []
    is_demo = installation.settings.server.profile == "demo"
    with OutboundClient(_LIMITS, allow_loopback=is_demo) as http:
        api = HolderApi(
            http, _signing_key(installation), installation.settings.server.issuer, clock=installation.clock
        )
        asking = Asking(installation, api)
        done: list[Synced] = []
        for link_id in link_ids:
            if should_stop():
                break
            try:
                synced = asking.sync_link(link_id)
            except (SQLAlchemyError, ConsentError, VaultError) as error:
                # One link that cannot be opened must not stop the others; its turn comes again.
                _log.error("link not asked for", extra={"error": type(error).__name__})
                continue
            if synced is not None:
                done.append(synced)
        return done


class Asking:
    """One run: the installation, and the interface that it asks through."""

    def __init__(self, installation: Installation, api: HolderApi) -> None:
        self._installation = installation
        self._api = api

    def sync_link(self, link_id: str) -> Synced | None:
        """Take every page that there is for one link; None if it is not to be asked for."""
        task = self._take(link_id)
        if task is None:
            return None
        synced, cursor, seen = Synced(link_id, task.holder_id), task.cursor, {task.cursor}
        for _ in range(_MOST_PAGES):
            try:
                page = self._ask(task, cursor)
            except HolderRefusedError as refused:
                self._refuse(synced, refused.reason)
                return synced
            except HolderFaultError as error:
                self._fail(synced, error.rule, is_broken=True)
                return synced
            except OutboundError as error:
                self._fail(synced, rule_of(error), is_broken=False)
                return synced
            if page.next_cursor is not None and page.next_cursor in seen:
                self._fail(synced, "cursor_repeats", is_broken=True)
                return synced
            if not self._take_page(task, page, synced) or page.next_cursor is None:
                return synced
            cursor = page.next_cursor
            seen.add(cursor)
        self._fail(synced, "more_pages_than_one_run_takes", is_broken=False)
        return synced

    def _take(self, link_id: str) -> Task | None:
        installation = self._installation
        try:
            with transaction(installation.data) as work:
                return take(work, installation.keyring, link_id, installation.clock())
        except ErasedError:
            return None

    def _ask(self, task: Task, cursor: str | None) -> Page:
        issuer = self._installation.settings.server.issuer
        sources = sources_of(task.holder_id, task.record_types)
        if not sources:
            raise HolderFaultError("no_source_reads_this_holder")
        transmission = Transmission(
            purpose=COLLECTION_PURPOSE,
            holder=task.holder_id,
            recipient=issuer,
            record_types=tuple(source.record_type for source in sources),
            number=task.identity.number,
            cycle=CYCLE,
            until=task.valid_until,
            retention=RETENTION,
        )
        question = Question(task.endpoint, sources, transmission)
        return self._api.ask(question, PageWish(task.since, cursor), self._installation.catalogue)

    def _take_page(self, task: Task, page: Page, synced: Synced) -> bool:
        """Commit one page with the cursor behind it; False if the link has ended in the meantime."""
        installation, now = self._installation, self._installation.clock()
        own, foreign = _of_whom(task, page.records)
        own_faulty, foreign_faulty = _of_whom(task, page.faulty)
        certain, at_odds = divide(own)
        others = len(foreign) + len(foreign_faulty)
        turn = Turn(page.mark, page.next_cursor, page.faults[0].rule if page.faults else None)
        with transaction(installation.data) as work:
            link = work.session.get_one(SourceLink, task.link_id)
            if not is_living(link, now):
                return False
            holder_id = task.holder_id
            outcomes = take_in(work, installation, certain, holder_id=holder_id, origin="sync", now=now)
            outcomes += keep_contradicting(
                work, installation, at_odds, holder_id=holder_id, origin="sync", now=now
            )
            keep_faulty(work, installation, own_faulty, holder_id=holder_id, origin="sync", now=now)
            reject(work, installation.keyring, link, [FOREIGN_PERSON] * others, now)
            turn_page(work, installation.keyring, link, turn, now)
        synced.count(outcomes, others + len(own_faulty))
        synced.doubted += sum(bool(record.doubts) for record in own)
        synced.fault = synced.fault or turn.fault or (FOREIGN_PERSON if others else None)
        return True

    def _refuse(self, synced: Synced, raw_reason: str) -> None:
        try:
            reason = RefusalReason(raw_reason)
        except ValueError:
            self._fail(synced, "refusal_without_reason", is_broken=True)
            return
        installation, now = self._installation, self._installation.clock()
        with transaction(installation.data) as work:
            link = work.session.get_one(SourceLink, synced.link_id)
            refuse(work, installation.keyring, link, reason, now)
        synced.refusal = reason

    def _fail(self, synced: Synced, rule: str, *, is_broken: bool) -> None:
        installation = self._installation
        with transaction(installation.data) as work:
            fail(work, synced.link_id, rule, is_broken=is_broken, now=installation.clock())
        synced.fault = rule


def _of_whom(task: Task, came: Sequence[_Came]) -> tuple[list[_Came], list[_Came]]:
    """What was asked for, and what is of other people, which the holder had no call to send.

    A faulty record whose number cannot be read is none of theirs: it waits for a person.
    """
    own: list[_Came] = []
    foreign: list[_Came] = []
    for one in came:
        is_own = one.person is None or one.person.number == task.identity.number
        (own if is_own else foreign).append(one)
    return own, foreign


def _signing_key(installation: Installation) -> SigningKey:
    (current, *_) = installation.keyring.service_keys(OAUTH_KEY)
    return SigningKey(current.kid, current.private_pem)
