"""One run of the matrix: a deployment, the deed at its point, and what must be true when all is over."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from orchestrator.domain.deployment import Decision, Deployment, State
from orchestrator.domain.errors import LockstepError
from tests.chaos.observers import Counts
from tests.chaos.points import Cell, Deed, Point
from tests.chaos.processes import ChaosError, wait_until
from tests.chaos.site import Site
from tests.chaos.trap import Sprung

#: How long Redis or PostgreSQL is gone, in seconds.
MOMENT = 0.5


@dataclass
class Result:
    """What came of a run. `seconds` from the deed to the row's end; `takeover` to the first worker that noticed."""

    cell: Cell
    state: str = ""
    seconds: float | None = None
    takeover: float | None = None
    counts: Counts = field(default_factory=Counts)
    mixed: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing was found."""
        return not self.faults

    @property
    def summary(self) -> str:
        """How it ended, after how long, and how many answers clients checked; or what is wrong."""
        if self.faults:
            return f"FAILED: {'; '.join(self.faults)}"
        seconds = "" if self.seconds is None else f" {self.seconds:.1f} s"
        return f"{self.state}{seconds}, {self.counts.checks}"

    def as_dict(self) -> dict[str, Any]:
        """As JSON carries it."""
        cell = {"database": self.cell.database, "deed": self.cell.deed, "point": self.cell.point}
        rest = {name: value for name, value in asdict(self).items() if name not in ("cell", "counts")}
        return {**cell, **rest, **asdict(self.counts), "good": self.good}


class Run:
    """One deployment and what is done to it."""

    def __init__(self, site: Site, cell: Cell) -> None:
        self._site = site
        self._cell = cell
        self._deeds: dict[Deed, Callable[[Sprung], None]] = {
            Deed.WORKER_KILLED: self._worker_killed,
            Deed.WORKER_STOPPED: self._worker_stopped,
            Deed.REDIS_KILLED: self._redis_killed,
            Deed.REDIS_GONE: self._redis_gone,
            Deed.POSTGRES_KILLED: self._postgres_killed,
        }

    def play(self) -> Result:
        """All of it. What goes wrong is in the result, never raised."""
        site, result = self._site, Result(self._cell)
        seen = site.observers.counts()
        try:
            site.mend()
            before = site.present()
            site.trap.set(self._cell.point, self._cell.deed.act)
            number = site.deploy(hold=self._cell.point.held)
            if self._cell.point is Point.ABORTING:
                self._abort(number)
            wait_until(lambda: site.trap.sprung() is not None, f"a coordinator at {self._cell.point}")
            sprung = site.trap.sprung()
            assert sprung is not None
            self._deeds[self._cell.deed](sprung)
            row = site.await_end(number)
            result.state = row.state
            if row.ended_at is not None:
                result.seconds = max(0.0, row.ended_at.timestamp() - sprung.at)
            if self._cell.deed is Deed.WORKER_KILLED and self._cell.point.led:
                noticed = site.took_the_lead(number)
                result.takeover = None if noticed is None else noticed - sprung.at
            result.faults += self._judge(row, before)
            self._judge_workers(sprung)
            result.mixed = len(set(site.served().values())) > 1
        except (ChaosError, LockstepError, AssertionError) as error:
            result.faults.append(str(error) or type(error).__name__)
        finally:
            site.trap.let_go()
        result.counts = site.observers.counts().since(seen)
        if not result.counts.clean:
            result.faults.append(f"clients: {result.counts}")
        return result

    def _abort(self, number: int) -> None:
        """As an operator, once it is held."""

        def is_held() -> bool:
            row = self._site.row(number)
            return row is not None and row.state is State.PREPARED

        wait_until(is_held, "a deployment that is held")
        self._site.console.abort(number)

    # ── deeds ──

    def _worker_killed(self, sprung: Sprung) -> None:
        self._site.worker(sprung.pid).reap()
        self._go_on(sprung.deployment)

    def _worker_stopped(self, sprung: Sprung) -> None:
        site, worker, number = self._site, self._site.worker(sprung.pid), sprung.deployment
        wait_until(lambda: worker.stopped, "a worker that stands still")
        self._go_on(number)
        row, served = site.await_end(number), site.served()
        site.trap.let_go()
        worker.send(signal.SIGCONT)
        # It believes that it leads, and does what it was about to do.
        wait_until(lambda: site.trap.rested(worker.pid, number), "the end of a coordinator that had stood still")
        # Its own measure of the flips may come late, and be the only one there is.
        if changed := _changed(row, site.row(number)) - {"skew"}:
            raise ChaosError(f"a coordinator that had stood still changed the row: {', '.join(sorted(changed))}")
        if (serving := site.served()) != served:
            raise ChaosError(f"a coordinator that had stood still changed what is served: {served} became {serving}")

    def _redis_killed(self, sprung: Sprung) -> None:
        self._site.redis.kill()
        self._site.trap.let_go()
        threading.Event().wait(MOMENT)
        self._site.redis.start()
        self._go_on(sprung.deployment)

    def _redis_gone(self, sprung: Sprung) -> None:
        site, number = self._site, sprung.deployment
        site.redis.kill()
        site.trap.let_go()
        self._go_on(number)
        wait_until(lambda: site.trap.rested(sprung.pid, number), "the end of a coordinator without Redis")
        site.redis.start()

    def _postgres_killed(self, sprung: Sprung) -> None:
        server = self._site.postgres
        assert server is not None
        server.kill()
        self._site.trap.let_go()
        threading.Event().wait(MOMENT)
        server.start_again()
        self._go_on(sprung.deployment)

    def _go_on(self, number: int) -> None:
        """What is held is continued, as an operator would, who may hear that the broker is silent."""
        if self._cell.point is not Point.PREPARED:
            return
        try:
            self._site.console.proceed(number)
        except ChaosError:
            if self._cell.deed is not Deed.REDIS_GONE:
                raise

    # ── judgement ──

    def _judge(self, row: Deployment, before: Deployment | None) -> list[str]:
        return [*self._judge_row(row), *self._judge_frontends(row, before), *self._judge_rotation()]

    def _judge_row(self, row: Deployment) -> list[str]:
        faults = []
        ends = {State.DONE: Decision.COMMIT, State.ABORTED: Decision.ABORT}
        if ends[row.state] is not row.decision:
            faults.append(f"{row.state}, but the decision is {row.decision}")
        if row.state is State.ABORTED and not row.troubles:
            faults.append("aborted, and nobody knows why")
        committed = row.decision is Decision.COMMIT
        if (self._cell.point.decided or self._cell.point is Point.PREPARED) and not committed:
            faults.append(f"{row.decision}, but it was to be committed")
        coordinator_lost = self._cell.deed in (Deed.WORKER_KILLED, Deed.WORKER_STOPPED) and self._cell.point.led
        if coordinator_lost and not self._cell.point.decided and committed:
            faults.append("committed by a worker that took over before the decision")
        return faults

    def _judge_frontends(self, row: Deployment, before: Deployment | None) -> list[str]:
        """All serve one activation: the new one where it is committed, else the old one, and nothing of the new."""
        committed = row.decision is Decision.COMMIT
        right = str(row.name if committed or before is None else before.name)
        faults = [
            f"{name} serves {activation}, {right} was expected"
            for name, activation in self._site.served().items()
            if activation != right
        ]
        for frontend in self._site.lab.frontends:
            root, name = frontend.root, str(row.name)
            if not committed and (root / "activations" / name).exists():
                faults.append(f"{frontend.name} still holds what was aborted")
            for left in (root / "ahead" / name, root / "state" / f"armed-{name}"):
                if left.exists() or left.is_symlink():
                    faults.append(f"{frontend.name} still has {left.relative_to(root)}")
            if int((root / "state" / "fence").read_text()) < row.epoch:
                faults.append(f"{frontend.name} is not fenced against epoch {row.epoch}")
        return faults

    def _judge_workers(self, sprung: Sprung) -> None:
        """Nobody has ended but who was killed, and all who are left take work again. Raises where it is not so."""
        killed = {sprung.pid} if self._cell.deed is Deed.WORKER_KILLED else set()
        self._site.await_listening([worker for worker in self._site.workers if worker.pid not in killed])

    def _judge_rotation(self) -> list[str]:
        out = [drain.frontend for drain in self._site.ledger.drains()]
        words = self._site.lab.rotation()
        down = [name for name, word in words.items() if not word.startswith("UP")]
        return [f"out of rotation: {', '.join([*out, *down])}"] if out or down else []


def _changed(before: Deployment, now: Deployment | None) -> set[str]:
    """The columns that have other values."""
    names = (column.name for column in fields(Deployment))
    return {name for name in names if getattr(before, name) != getattr(now, name, None)}


def play(site: Site, cell: Cell) -> Result:
    """One run of the matrix."""
    return Run(site, cell).play()


def next_deployment(site: Site) -> list[str]:
    """An ordinary deployment, with nobody in its way: what went wrong with it."""
    site.mend()
    row = site.await_end(site.deploy())
    served = set(site.served().values())
    if row.state is State.DONE and served == {str(row.name)}:
        return []
    return [f"the next deployment is {row.state}, and the frontends serve {', '.join(sorted(served))}"]
