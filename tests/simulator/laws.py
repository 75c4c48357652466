"""What must hold at every moment: G1, G2, G3 and G5 of docs/protocol.md, and what they rest on.

Clients ask at any time and with every pin that any of them may have: whatever a frontend in rotation could answer just
now, it is held against everything that was ever answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.activation import NOTHING, ActivationName
from orchestrator.domain.deployment import Decision, Deployment, State
from tests.protocol.simulation.laws import ViolationError, expect, judge_decision
from tests.simulator.fleet import MARKED
from tests.simulator.frontend import Frontend

if TYPE_CHECKING:
    from tests.simulator.world import World


class Judge:
    """Looks at a world after everything that changes it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows: dict[int, Deployment] = {}
        self._writes = -1
        self._fences: dict[str, int] = {}
        self._currents: dict[str, ActivationName] = {}
        #: What clients may have seen, and so what they may be pinned to.
        self._seen: set[ActivationName] = set()
        self._committed: list[ActivationName] = []

    def look(self) -> None:
        """Raises `ViolationError`."""
        if self._writes != self._world.ledger.writes:
            self._writes = self._world.ledger.writes
            self._judge_rows()
        for frontend in self._world.frontends.values():
            self._judge_frontend(frontend)
        serving = [f for f in self._world.frontends.values() if f.serves and f.name in self._world.ready]
        self._judge_rotation(serving)
        self._judge_drains(serving)
        self._judge_clients(serving)

    def at_rest(self) -> None:
        """When nothing happens any more: whoever is in no drain is in rotation, where it was deployed to last."""
        world = self._world
        last = next(iter(world.ledger.committed(world.fleet.key, limit=1)), None)
        out = {drain.frontend for drain in world.ledger.drains(world.fleet.key)}
        for frontend in world.frontends.values() if last is not None else ():
            in_rotation = frontend.serves and frontend.name in world.ready
            expect(in_rotation or frontend.name in out, f"{frontend.name} is in no drain, and not in rotation")

    # ── the ledger ──

    def _judge_rows(self) -> None:
        before, self._rows = self._rows, {row.id: row for row in self._world.ledger.history(None, 1000)}
        for number, row in self._rows.items():
            old = before.get(number)
            if old is not row:
                self._judge_row(old, row)
        rows = self._world.ledger.committed(self._world.fleet.key)
        self._committed = [row.name for row in rows]

    def _judge_row(self, old: Deployment | None, row: Deployment) -> None:
        judge_decision(old, row)
        if row.decision is Decision.COMMIT and (old is None or old.decision is None):
            self._judge_commit(row)
        if row.state is State.DONE and (old is None or old.state is not State.DONE):
            self._judge_done(row)

    def _judge_commit(self, row: Deployment) -> None:
        readmits = row.plan.readmits
        drains = self._world.ledger.drains(row.plan.fleet)
        out = {d.frontend for d in drains if d.confirmed and d.number > readmits.get(d.frontend, 0)}
        mine = [self._world.frontends[name] for name in row.plan.frontends if name not in out]
        expect(bool(mine) or bool(readmits), "committed, and nobody agreed")
        for frontend in mine:
            expect(frontend.fence >= row.epoch, f"committed, and {frontend.name} had not armed")
            expect(frontend.whole(row.name), f"committed, and {frontend.name} does not hold the release whole (G1)")

    def _judge_done(self, row: Deployment) -> None:
        for frontend in self._world.frontends.values():
            if frontend.serves and frontend.name in self._world.ready:
                expect(
                    frontend.current == row.name,
                    f"done, and {frontend.name} serves {frontend.current}, not {row.name} (G3)",
                )

    # ── frontends ──

    def _judge_frontend(self, frontend: Frontend) -> None:
        name, old = frontend.name, self._currents.get(frontend.name, NOTHING)
        expect(frontend.fence >= self._fences.get(name, 0), f"{name}: the fence fell to {frontend.fence}")
        expect(frontend.fence >= frontend.current.epoch, f"{name}: the fence is below what is served")
        self._fences[name] = frontend.fence
        if frontend.current == old:
            return
        self._currents[name] = frontend.current
        expect(frontend.current.epoch > old.epoch, f"{name}: went back from {old} to {frontend.current} (G2)")
        expect(frontend.current in self._committed, f"{name}: serves {frontend.current} without a commit (G3, G5)")

    def _judge_rotation(self, serving: list[Frontend]) -> None:
        """While no deployment is open, all serve the same."""
        if self._committed and all(row.ended_at is not None for row in self._rows.values()):
            for frontend in serving:
                expect(
                    frontend.current == self._committed[0],
                    f"no deployment is open, and {frontend.name} serves {frontend.current} (G3)",
                )

    def _judge_drains(self, serving: list[Frontend]) -> None:
        """A load balancer does what it is told last, by whomever; the mark on the frontend knows better."""
        world = self._world
        row = world.ledger.open_deployment(world.fleet.key)
        back = {} if row is None else row.plan.readmits
        for drain in world.ledger.drains(world.fleet.key):
            if drain.by == MARKED and back.get(drain.frontend) != drain.number:
                in_rotation = any(frontend.name == drain.frontend for frontend in serving)
                expect(not in_rotation, f"{drain.frontend} is drained, and in rotation")

    # ── clients ──

    def _judge_clients(self, serving: list[Frontend]) -> None:
        for frontend in serving:
            self._seen.add(frontend.navigate(None))
        for frontend in serving:
            for pin in tuple(self._seen):
                found = frontend.navigate(pin)
                expect(found.epoch >= pin.epoch, f"{frontend.name}: a client went back from {pin} to {found} (G2)")
                self._seen.add(found)
        kept = self._world.fleet.policy.keep + 1
        for name in self._seen.intersection(self._committed[:kept]):
            for frontend in serving:
                expect(frontend.whole(name), f"{frontend.name} in rotation does not hold {name} whole (G1)")
        for name in self._seen.difference(self._committed):
            raise ViolationError(f"clients see {name}, which was not committed (G5)")
