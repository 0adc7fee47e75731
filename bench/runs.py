"""The runs on one database: subject and baselines in turns, in several rounds."""

import os
import random  # noqa: TID251 - the order of requests decides nothing
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle, repeat
from typing import Final

import orjson

from bench import processes, seeding
from bench.baselines import naive
from bench.baselines.fsync import fdatasync_ms
from bench.load import Load, drive
from bench.machine import working_seconds
from bench.places import Place
from bench.processes import Server
from bench.proofs import Ticket, plain, sign
from broker.installation import Installation
from consent.ledger.entries import read_head
from vault.jose import Jwk, generate_private_jwk

CONNECTIONS: Final = 32
WORKERS: Final = 2
_PULL: Final = "/v1/records"
WARM_REQUESTS: Final = 300
# A request is signed for a run before anybody knows how many it will need; a run may end early without them.
_SPARE: Final = 1.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How much: consents that are seeded, rounds, seconds of one run; people and bills of the import."""

    consents: int
    rounds: int
    seconds: float
    people: int
    bills: int


QUICK: Final = Plan(consents=2_000, rounds=2, seconds=1.2, people=400, bills=2_000)
FULL: Final = Plan(consents=10_000, rounds=3, seconds=6, people=20_000, bills=100_000)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. CPU in microseconds an answer: of the server's processes, and of PostgreSQL's.

    `others_share` is what programs that are not of this run took of all cores, between 0 and 1.
    """

    what: str
    workers: int
    connections: int
    round: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    database_cpu_us: float
    answers: int
    seconds: float
    body_bytes: int
    signing_seconds: float
    others_share: float


class WrongAnswerError(Exception):
    """A run whose numbers mean nothing: not every answer was 200, or the log does not hold each of them."""


@dataclass(slots=True)
class Results:
    """Every run, and what is measured without HTTP, by round."""

    runs: list[Run] = field(default_factory=list)
    commit_rates: list[float] = field(default_factory=list)
    fdatasync_ms: list[float] = field(default_factory=list)


def measure(place: Place, plan: Plan, executor: Executor) -> Results:
    """Seed the place, start every server, and run all rounds. Raises WrongAnswerError."""
    with place.installation() as installation, ExitStack() as stack:
        stand = _Stand(place, plan, executor, installation)
        stand.furnish()
        stand.start(stack)
        stand.warm_up()
        for number in range(plan.rounds):
            stand.round(number)
        stand.finish()
    return stand.results


class _Stand:
    """The servers of one place, and the tickets that are still to be used."""

    def __init__(self, place: Place, plan: Plan, executor: Executor, installation: Installation) -> None:
        self.results = Results()
        self._place = place
        self._plan = plan
        self._executor = executor
        self._installation = installation
        self._jwk: Jwk = generate_private_jwk("ES256")
        self._fresh: list[Ticket] = []
        self._used: list[Ticket] = []
        self._naive_requests: list[bytes] = []
        self._naive_environment: dict[str, str] = {}
        self._servers: dict[str, Server] = {}
        self._rates: dict[str, float] = {}
        self._body_bytes = 2
        self._round = 0

    def furnish(self) -> None:
        """Rows for everyone, and statistics as a database has them that has run for a while."""
        self._fresh = seeding.seed(self._installation, self._jwk, self._plan.consents + WARM_REQUESTS)
        record = orjson.dumps(seeding.example(self._installation, 0))
        self._place.furnish_commits(record)
        configuration, tokens = naive.furnish(self._place.url("naive"), record, self._plan.consents)
        self._naive_environment = naive.environment(configuration)
        self._naive_requests = [plain(naive.PATH, Authorization=f"Bearer {token}") for token in tokens]
        self._place.analyse()

    def start(self, stack: ExitStack) -> None:
        """Every server with two workers; the broker with one too, on the same databases."""
        folder, config = self._place.folder, self._place.config
        factory = ("--factory", "--lifespan", "on")
        servers = {
            "bare": processes.baseline("bare:app", folder),
            "proof_only": processes.baseline("proof_only:app", folder),
            "naive": processes.baseline("naive:create_app", folder, self._naive_environment, factory),
            "pull": processes.broker(config, folder, workers=WORKERS),
            "pull_one": processes.broker(config, folder, workers=1),
        }
        self._servers = {name: stack.enter_context(server) for name, server in servers.items()}

    def warm_up(self) -> None:
        """A short run of everything: caches fill, and rates are guessed for the proofs of the first round."""
        warm, self._fresh = self._fresh[:WARM_REQUESTS], self._fresh[WARM_REQUESTS:]
        self._body_bytes = self._pull("pull_first", "pull", warm).body_bytes
        self._pull("pull_again_one", "pull_one", warm)
        self._pull("pull_again", "pull", warm)
        self._prove(warm)
        self._drive("bare", "bare", self._bare_requests(), seconds=0.3)
        self._drive("naive", "naive", cycle(self._naive_requests), seconds=0.5)
        self._used += warm
        self.results = Results()

    def round(self, number: int) -> None:
        """Each subject and each baseline once."""
        self._round = number
        share = self._plan.consents // self._plan.rounds
        first, self._fresh = self._fresh[:share], self._fresh[share:]
        self._ceiling()
        self._pull("pull_first", "pull", first)
        self._used += first
        self._pull("pull_again", "pull", self._some("pull_again"))
        self._prove(self._some("proof_only"))
        self._drive("naive", "naive", cycle(self._naive_requests))
        self._pull("pull_again_one", "pull_one", self._some("pull_again_one"))
        seconds = self._plan.seconds
        self.results.commit_rates.append(self._place.commit_rate(seconds))
        self.results.fdatasync_ms.append(fdatasync_ms(self._place.folder, seconds=seconds / 4))

    def finish(self) -> None:
        """One connection alone, and the ceiling again."""
        self._pull("pull_alone", "pull", self._some("pull_again"), connections=1)
        self._ceiling()

    def _ceiling(self) -> None:
        self._drive("bare", "bare", self._bare_requests())

    def _bare_requests(self) -> Iterable[bytes]:
        return repeat(plain(f"/{self._body_bytes}"))

    def _some(self, what: str) -> list[Ticket]:
        """Tickets that were used before, as many as a run of this may need, in any order."""
        count = int(self._rates[what] * self._plan.seconds * _SPARE)
        return random.choices(self._used, k=count)  # noqa: S311 - no secret

    def _pull(
        self, what: str, server: str, tickets: Sequence[Ticket], *, connections: int = CONNECTIONS
    ) -> Load:
        """Pull with each ticket once; the log must have grown by exactly the answers."""
        signed = sign(self._executor, self._jwk, self._place.issuer + _PULL, tickets)
        before = self._log_size()
        load = self._drive(
            what, server, signed.requests, connections=connections, signing_seconds=signed.seconds
        )
        logged = self._log_size() - before
        if logged != load.answers:
            raise WrongAnswerError(f"{what}: {load.answers} answers, {logged} entries in the log")
        return load

    def _prove(self, tickets: Sequence[Ticket]) -> None:
        url = f"{self._place.issuer}/{self._body_bytes}"
        signed = sign(self._executor, self._jwk, url, tickets)
        self._drive("proof_only", "proof_only", signed.requests, signing_seconds=signed.seconds)

    def _drive(  # noqa: PLR0913 - a run has this many sides
        self,
        what: str,
        server: str,
        requests: Iterable[bytes],
        *,
        seconds: float | None = None,
        connections: int = CONNECTIONS,
        signing_seconds: float = 0.0,
    ) -> Load:
        of_server, of_database = self._servers[server].cpu_seconds, self._place.database_cpu_seconds
        before = of_server(), of_database(), time.process_time(), working_seconds()
        load = drive(
            self._servers[server].port,
            requests,
            connections=connections,
            seconds=seconds or self._plan.seconds,
        )
        used = of_server() - before[0], of_database() - before[1], time.process_time() - before[2]
        others = working_seconds() - before[3] - sum(used)
        if set(load.statuses) != {200}:
            raise WrongAnswerError(f"{what}: {dict(load.statuses)}")
        self._rates[what] = load.rate
        run = Run(
            what=what,
            workers=1 if server == "pull_one" else WORKERS,
            connections=connections,
            round=self._round,
            rate=load.rate,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            cpu_us=used[0] / load.answers * 1e6,
            database_cpu_us=used[1] / load.answers * 1e6,
            answers=load.answers,
            seconds=load.seconds,
            body_bytes=load.body_bytes,
            signing_seconds=signing_seconds,
            others_share=max(0.0, others / load.seconds / (os.cpu_count() or 1)),
        )
        self.results.runs.append(run)
        return load

    def _log_size(self) -> int:
        with self._installation.data.read() as session:
            return read_head(session)[0]
