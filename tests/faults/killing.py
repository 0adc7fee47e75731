"""Server, worker, hospital and insurer as processes that a test kills at any moment, and starts again."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Final

import httpx
from sqlmodel import select

from broker.demo.citizen import Citizen
from broker.demo.hospital.configuration import load_configuration
from broker.demo.hospital.store import Document, Store
from broker.demo.installing import CLIENT_ID, Demo, DemoPlan, install
from broker.demo.people import PATIENTS, Patient
from broker.demo.processes import free_port
from broker.demo.story import Staff
from broker.installation import Installation, open_installation
from broker.oauth.security_event import RECORD_AVAILABLE, TYPE, SecurityEvent, sign
from broker.service_keys import OAUTH_KEY
from broker.settings import load_settings
from connectors.services.indemnity.recipient.book import Book
from connectors.services.indemnity.recipient.configuration import load_configuration as load_insurer
from connectors.services.indemnity.recipient.database import InsurerDatabase
from connectors.services.indemnity.recipient.store import Case, CaseState
from connectors.services.indemnity.recipient.store import Store as Cases
from connectors.sources.catalog import SEOUL_HOSPITAL, SEOUL_HOSPITAL_DETAILS
from connectors.sources.demo_documents import detail
from connectors.sources.demo_hospital import new_visit
from consent.models import Duty
from consent.outbox import DutyKind
from consent.progress import never_completed
from tests.flows.demos import environment
from tests.postgres import Cluster

PATIENCE: Final = 120
LONGEST_DELAY: Final = 1.5
_WORKER_THREADS: Final = 3  # the main one, and the two that reach out
_MOST_DEATHS_IN_BIRTH: Final = 2
_ATTEMPT_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 0.1
_GLANCE_SECONDS: Final = 0.005
_LONGEST_MOMENT: Final = 0.05
_TAIL_LINES: Final = 40
_NOT_NOW: Final = 503
_TAKEN: Final = 202


@dataclass
class Actor:
    """One program of the story, in a process group of its own. `address` answers once it is up.

    One that was killed twice while it started is let live the third time: else the story would stop.
    """

    name: str
    command: list[str]
    log: Path
    address: str | None
    process: "subprocess.Popen[bytes] | None" = None
    deaths: int = 0
    deaths_in_birth: int = 0
    was_ready: bool = False

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd="/",
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.was_ready = False

    def is_ready(self) -> bool:
        """Whether it does its work by now. Raises AssertionError if it has ended without being killed."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended by itself: {self.process.returncode}"
        if not self.was_ready:
            self.was_ready = self._has_threads() if self.address is None else _answers(self.address)
        return self.was_ready

    def may_die(self) -> bool:
        return self.is_ready() or self.deaths_in_birth < _MOST_DEATHS_IN_BIRTH

    def kill(self) -> None:
        """`kill -9` of the process and its children: the group that `start` made, and nothing else."""
        if self.process is None:
            return
        self.deaths += 1
        self.deaths_in_birth = 0 if self.was_ready else self.deaths_in_birth + 1
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"--- {self.name}, killed {self.deaths} times", *lines[-_TAIL_LINES:]])

    def _has_threads(self) -> bool:
        assert self.process is not None
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir())) >= _WORKER_THREADS


@dataclass
class Scene:
    """An installation, its four programs, the one person of the story; all chances come from `dice`."""

    demo: Demo
    installation: Installation
    seed: int
    persona: Patient
    actors: dict[str, Actor]
    dice: Random
    round: int = 0
    letters: list[str] = field(default_factory=list)
    replayed: int = 0
    resent: int = 0

    @cached_property
    def hospital(self) -> Store:
        """The hospital's own store: a visit is in it as soon as it has taken place."""
        return Store(load_configuration(self.demo.plan.hospital_config).store)

    @cached_property
    def _insurer_database(self) -> InsurerDatabase:
        return InsurerDatabase(load_insurer(self.demo.insurer_config).store)

    @property
    def cases(self) -> list[Case]:
        return Cases(self._insurer_database).cases()

    @property
    def book(self) -> Book:
        return Book(self._insurer_database)

    @property
    def first_day(self) -> date:
        """The first day that the consent covers."""
        return date.fromisoformat(self.demo.terms["data_period"]["from"])

    def events(self) -> dict[str, bool]:
        """The events that the insurer has kept, and whether it has acted on them."""
        with self._insurer_database.transaction() as connection:
            return {
                row["event_id"]: bool(row["is_done"]) for row in connection.execute("SELECT * FROM event")
            }

    def duties(self) -> list[Duty]:
        """Every duty to tell the insurer."""
        with self.installation.data.read() as session:
            return list(session.exec(select(Duty).where(Duty.kind == DutyKind.TELL_RECIPIENT)))

    def documents(self, document_format: str) -> list[Document]:
        """What the hospital has of the person in one format."""
        number = self.persona.person.patient_no
        return [
            one
            for one in self.hospital.documents()
            if (one.format, one.patient_no) == (document_format, number)
        ]

    def begin(self) -> None:
        """Everything up, all records fetched, one periodic consent given; nobody is killed before."""
        for actor in self.actors.values():
            actor.start()
        self.wait_until(self.all_ready)
        self.wait_until(self._everything_is_fetched)
        insurer = Staff(self.demo.plan.insurer_url, self.demo.staff_token)
        opened = insurer.post("/staff/cases?access=periodic")
        citizen = Citizen(self.demo.plan.issuer, self.persona.username, self.demo.password)
        try:
            citizen.agree(opened["authorization_url"])
        finally:
            citizen.close()
        self.wait_until(
            lambda: insurer.get(f"/staff/cases/{opened['case_id']}")["state"] == CaseState.STANDING
        )

    def play(self, rounds: int) -> None:
        """Visits and deaths. In two rounds of five all four are up when the visit takes place."""
        dice, last = self.dice, self.round + rounds
        for _ in range(rounds):
            self.round += 1
            if dice.random() < 0.4:
                self.wait_until(self.all_ready)
            self.add_visit()
            if dice.random() < 0.3:
                self.send_again()
            self.let_time_pass()
            if dice.random() < 0.4:
                self.replay_event()
            victims = [actor for actor in self.actors.values() if actor.may_die()]
            chosen = dice.sample(
                sorted(victims, key=lambda one: one.name), min(dice.randint(1, 4), len(victims))
            )
            if self.round == last:  # whom the dice spared dies now
                chosen += [one for one in self.actors.values() if not one.deaths and one not in chosen]
            for actor in chosen:
                actor.kill()
            for actor in chosen:
                actor.start()

    def let_time_pass(self) -> None:
        """A random delay; or until the insurer has moved a few times, to strike in the midst of its work."""
        deadline = time.monotonic() + self.dice.uniform(0, LONGEST_DELAY)
        moves = self.dice.choice([0, 1, 2, 2, 3, 4, 5])  # the second is a new case: its pull is on the way
        moment = self.dice.uniform(0, _LONGEST_MOMENT)
        if moves:
            deadline += LONGEST_DELAY
        seen = self._progress()
        while time.monotonic() < deadline:
            time.sleep(_GLANCE_SECONDS)
            if moves and (now := self._progress()) != seen:
                seen, moves = now, moves - 1
                if not moves:
                    time.sleep(moment)
                    return

    def end(self) -> None:
        """Everybody dies once more, lives again, and is left alone until nothing is left to do."""
        for actor in self.actors.values():
            actor.kill()
        for actor in self.actors.values():
            actor.start()
        self.wait_until(self.all_ready)
        self.wait_until(self.is_quiet)

    def add_visit(self) -> None:
        """A new visit with its bill and detailed bill: on a day of its own, or a second one on such a day."""
        dice, bills = self.dice, self.documents(SEOUL_HOSPITAL.format)
        taken = {datetime.strptime(one.body["FR_YMD"], "%Y%m%d").date() for one in bills}  # noqa: DTZ007
        today = (datetime.now(UTC) + timedelta(hours=9)).date()  # Korean time
        days = [self.first_day + timedelta(days=number) for number in range((today - self.first_day).days)]
        free = [day for day in days if day not in taken]
        is_second = dice.random() < 0.15 or not free
        day = dice.choice([day for day in days if day in taken] if is_second else free)
        ordinal = len(bills) + 1
        bill = new_visit(dice, self.persona.person, ordinal, day)
        documents = [(SEOUL_HOSPITAL.format, bill), (SEOUL_HOSPITAL_DETAILS.format, detail(bill, ordinal))]
        dice.shuffle(documents)  # each goes by itself, and whichever comes later changes nothing
        self.hospital.put(documents)

    def send_again(self) -> None:
        """The hospital pushes a bill once more that the broker may have already."""
        document = self.dice.choice(self.documents(SEOUL_HOSPITAL.format))
        self.hospital.put([(document.format, document.body)])
        self.resent += 1

    def replay_event(self) -> None:
        """Somebody sends the insurer an event of the broker's once more: the same bytes, or signed anew."""
        duties = sorted(self.duties(), key=lambda one: one.created_at)
        if not duties:
            return
        if not self.letters or self.dice.random() < 0.5:
            duty = self.dice.choice(duties)
            event = SecurityEvent(duty.duty_id, CLIENT_ID, RECORD_AVAILABLE, duty.target, {})
            (key, *_) = self.installation.keyring.service_keys(OAUTH_KEY)
            issuer, now = self.demo.plan.issuer, datetime.now(UTC)
            self.letters.append(sign(event, issuer=issuer, key=key, now=now))
        letter, headers = self.dice.choice(self.letters), {"Content-Type": f"application/{TYPE}"}
        try:
            answer = httpx.post(
                f"{self.demo.plan.insurer_url}/events",
                content=letter,
                headers=headers,
                timeout=_ATTEMPT_SECONDS,
            )
        except httpx.TransportError:
            return  # it is dead just now
        assert answer.status_code in {_TAKEN, _NOT_NOW}, answer.text
        self.replayed += answer.status_code == _TAKEN

    def all_ready(self) -> bool:
        return all(actor.is_ready() for actor in self.actors.values())

    def is_quiet(self) -> bool:
        """Nothing is left to push, to tell, to act on or to claim."""
        return (
            not self.hospital.to_push(datetime.now(UTC), 1)
            and all(duty.done_at is not None or duty.dead_at is not None for duty in self.duties())
            and all(self.events().values())
            and {case.state for case in self.cases}
            <= {CaseState.STANDING, CaseState.CLOSED, CaseState.REFUSED}
        )

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            for actor in self.actors.values():
                actor.is_ready()
            assert time.monotonic() < deadline, f"still not so after {PATIENCE} s: {condition.__name__}"
            time.sleep(_PAUSE_SECONDS)

    def report(self) -> str:
        """For whoever reads a failure: how to have the same again, and what everybody said last."""
        told = f"KILLING_SEED={self.seed}, round {self.round}"
        return "\n".join([told, *(actor.tail() for actor in self.actors.values()), *self._left()])

    def _left(self) -> Iterator[str]:
        for case in self.cases:
            if case.state not in {CaseState.STANDING, CaseState.CLOSED}:
                yield f"case {case.case_id}: {case.state}, {case.refusal}"
        for duty in self.duties():
            if duty.done_at is None:
                yield f"duty {duty.duty_id}: due {duty.due_at}, {duty.attempts} attempts, {duty.fault}"

    def _progress(self) -> list[tuple[object, ...]]:
        """How far events and cases have come; looked at without the insurer's lock, so it is not held up."""
        connection = sqlite3.connect(load_insurer(self.demo.insurer_config).store, timeout=_ATTEMPT_SECONDS)
        try:
            told = "SELECT is_done, count(*) FROM event GROUP BY 1"
            return connection.execute(
                f"{told} UNION ALL SELECT state, count(*) FROM claim_case GROUP BY 1"
            ).fetchall()
        finally:
            connection.close()

    def _everything_is_fetched(self) -> bool:
        with self.installation.data.read() as session:
            return not never_completed(session)


@contextmanager
def staged(folder: Path, cluster: Cluster | None, seed: int) -> Iterator[Scene]:
    """An installation of the demo with nothing running yet: on SQLite, or both databases in a cluster."""
    names = [f"killing_{which}_{os.urandom(4).hex()}" for which in ("data", "keyring")]
    if cluster is None:
        urls = [f"sqlite:///{folder / 'demo' / name}.db" for name in ("data", "keyring")]
    else:
        urls = [cluster.create_database(name) for name in names]
    plan = DemoPlan(
        directory=folder / "demo",
        database_url=urls[0],
        keyring_url=urls[1],
        port=free_port(),
        insurer_port=free_port(),
        client_port=free_port(),
        acknowledge="at_once",
        hospital_port=free_port(),
    )
    demo = install(plan, lambda: datetime.now(UTC))
    installation = open_installation(load_settings(demo.config, {}), lambda: datetime.now(UTC))
    scene = Scene(demo, installation, seed, PATIENTS[0], _actors(demo, folder), Random(seed))
    try:
        yield scene
    except BaseException:
        print(scene.report())  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        for actor in scene.actors.values():
            actor.kill()
        installation.close()
        if cluster is not None:
            for name in names:
                cluster.drop_database(name)


def _actors(demo: Demo, folder: Path) -> dict[str, Actor]:
    broker = [sys.executable, "-m", "broker", "--config", str(demo.config)]
    insurer = [sys.executable, "-m", "connectors.services.indemnity.recipient", str(demo.insurer_config)]
    hospital = [sys.executable, "-m", "broker.demo.hospital", str(demo.plan.hospital_config)]
    told: list[tuple[str, list[str], str | None]] = [
        ("server", [*broker, "serve"], f"{demo.plan.issuer}/readyz"),
        ("worker", [*broker, "worker"], None),
        ("insurer", insurer, demo.plan.insurer_url),
        ("hospital", hospital, demo.plan.hospital_url),
    ]
    return {name: Actor(name, command, folder / f"{name}.log", address) for name, command, address in told}


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=_ATTEMPT_SECONDS).is_success
    except httpx.TransportError:
        return False
