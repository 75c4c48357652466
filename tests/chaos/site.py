"""Where the matrix is played: a lab, a ledger, Redis, worker processes with the beat, and clients who watch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from deploy.lab import Lab, answers
from orchestrator.adapters.ledger.engine import open_engine
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.bootstrap import utc_now
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import LockstepError
from orchestrator.services.deployments import last_committed
from orchestrator.settings import Settings
from tests.chaos.console import Console
from tests.chaos.observers import Observers
from tests.chaos.points import Database
from tests.chaos.processes import PATIENCE, ChaosError, RedisServer, Worker, wait_until
from tests.chaos.trap import Trap
from tests.chaos.worker import DIRECTORY
from tests.integration import postgres
from tests.integration.operator import Operator, tree
from tests.integration.postgres import Postgres

APP = "ToDo"
FLEET = "Lab/web"
FRONTENDS = 4
CLIENTS = 2
#: Workers with traps in them; besides there is one of the product's own, with the beat.
TRAPPED = 2
RELEASES = {
    "1.0.0": tree("chaos", files=12),
    "2.0.0": tree("chaos", files=12, changed={"scripts/part 1+ü.js": b"two", "added.svg": b"<svg/>"}),
}
#: Where the beat's worker takes coordinations from: nowhere, so that they begin in a worker with traps. It takes over.
ONLY_STEPS = "--queues=lockstep.frontend"


class Site:
    """Everything that runs. `mend` brings back what a run has ended."""

    def __init__(self, directory: Path, lab: Lab, redis_server: RedisServer, server: Postgres | None) -> None:
        self.directory = directory
        self.lab = lab
        self.redis = redis_server
        self.postgres = server
        self.trap = Trap(directory / "trap")
        self.logs = directory / "logs"
        self.logs.mkdir()
        self.workers: list[Worker] = []
        self._names = (f"w{number}" for number in itertools.count(1))
        self.environment: dict[str, str] = {
            "LOCKSTEP_BROKER_URL": redis_server.url,
            "LOCKSTEP_LOG_FORMAT": "json",
            DIRECTORY: str(directory / "trap"),
            # Kombu writes down what it had in its hands when Redis went away.
            "TMPDIR": str(self.logs),
        }
        if server is not None:
            self.environment["LOCKSTEP_LEDGER_URL"] = server.url()
        self.operator = Operator(directory, lab, self.environment)
        for version, files in RELEASES.items():
            self.operator.builds(version, files, APP)
        self._engine = open_engine(Settings.read(self.operator.environment).ledger_url)
        self.ledger = SqlLedger(self._engine, utc_now)
        self.console = Console(self.operator.environment, self.logs / "console.log")
        self.observers = Observers(lab.url, APP, CLIENTS)

    # ── deployments ──

    def deploy(self, *, hold: bool = False) -> int:
        """Begin to move the fleet to the release that it does not serve; returns the deployment's number."""
        present = self.present()
        served = None if present is None else present.plan.placements[0].version
        version = next(version for version in RELEASES if version != served)
        return self.console.deploy(APP, version, hold=hold)

    def present(self) -> Deployment | None:
        """What was committed last."""
        return last_committed(self.ledger, FLEET)

    def row(self, number: int) -> Deployment | None:
        """The deployment; None while the ledger does not answer."""
        try:
            return self.ledger.deployment(number)
        except LockstepError:
            return None

    def await_end(self, number: int) -> Deployment:
        """Its row once it has ended."""
        deadline = time.monotonic() + PATIENCE
        while True:
            row = self.row(number)
            if row is not None and row.state.ended:
                return row
            if time.monotonic() > deadline:
                state = "a ledger that does not answer" if row is None else f"{row.state}, decision {row.decision}"
                raise ChaosError(f"deployment {number} has not ended after {PATIENCE:g} s: {state}")
            time.sleep(0.02)

    def served(self) -> Mapping[str, str]:
        """What each frontend says that it serves, asked at its own address."""
        found = {}
        for frontend in self.lab.frontends:
            document = answers.activation(frontend.url)
            found[frontend.name] = document["activation"] if isinstance(document, dict) else document
        return found

    # ── processes ──

    def worker(self, pid: int) -> Worker:
        """The worker with this process."""
        return next(worker for worker in self.workers if worker.pid == pid)

    def mend(self) -> None:
        """Start workers in the place of those that ended, and wait until all of them wait for messages."""
        self.workers = [worker for worker in self.workers if worker.alive]
        traps = sum(worker.trapped for worker in self.workers)
        for _ in range(traps, TRAPPED):
            self._start("tests.chaos.worker", trapped=True)
        if traps == len(self.workers):
            self._start("workers.app", "--beat", ONLY_STEPS, trapped=False)
        wait_until(lambda: all(worker.ready for worker in self.workers), "workers that are ready")
        self.await_listening(self.workers)

    def await_listening(self, workers: Sequence[Worker]) -> None:
        """Wait until these, who are all there are, wait for messages. `ChaosError` where one ends instead.

        After Redis went away, they try again after 2, 4, … seconds.
        """

        def ended() -> list[str]:
            return [worker.name for worker in workers if not worker.alive]

        wait_until(lambda: self._listening() >= len(workers) or bool(ended()), "workers that wait for messages")
        if names := ended():
            raise ChaosError(f"workers that ended by themselves: {', '.join(names)}")

    def stop(self) -> None:
        """End every worker, and the console."""
        for worker in self.workers:
            worker.kill()
        self.console.close()
        self._engine.dispose()

    def took_the_lead(self, number: int) -> float | None:
        """When the first worker saw that nobody leads it, in seconds since 1970; None where none did."""
        return min((at for worker in self.workers if (at := worker.took_the_lead(number)) is not None), default=None)

    def _start(self, module: str, *options: str, trapped: bool) -> None:
        name = next(self._names)
        environment = self.operator.environment
        self.workers.append(Worker(name, module, options, self.logs, environment, trapped=trapped))

    def _listening(self) -> int:
        """How many wait for messages: Redis counts the clients that wait."""
        with redis.Redis(unix_socket_path=str(self.redis.socket)) as client:
            return int(client.info("clients")["blocked_clients"])


@contextmanager
def site(directory: Path, database: Database) -> Iterator[Site]:
    """A site whose fleet serves its first release, and whose clients watch until the context ends."""
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lab = stack.enter_context(Lab.up(directory / "lab", FRONTENDS))
        # The path of a Unix socket has at most 107 bytes.
        short = Path(stack.enter_context(TemporaryDirectory(prefix="ls-chaos-")))
        redis_server = RedisServer(short)
        stack.callback(redis_server.kill)
        redis_server.start()
        server = stack.enter_context(postgres.running()) if database is Database.POSTGRESQL else None
        made = Site(directory, lab, redis_server, server)
        stack.callback(made.stop)
        made.mend()
        made.await_end(made.deploy())
        made.observers.start()
        stack.callback(made.observers.end)
        yield made
