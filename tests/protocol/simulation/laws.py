"""What must hold at every moment: G2, G3 and G5 of docs/protocol.md, "The guarantee", and what they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.deployment import UNDECIDED, Decision, Deployment, State
from orchestrator.ports import Deployments
from tests.protocol.simulation.frontend import SimulatedFrontend

#: More deployments than any simulation has.
ALL = 1000

_STATES = {
    None: UNDECIDED,
    Decision.COMMIT: frozenset({State.ACTIVATING, State.FINISHING, State.DONE}),
    Decision.ABORT: frozenset({State.ABORTING, State.ABORTED}),
}


class ViolationError(AssertionError):
    """A law was broken."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The ledger's rows and, of each frontend, its fence and what it serves."""

    rows: Mapping[ActivationName, Deployment]
    fences: Mapping[str, int]
    currents: Mapping[str, ActivationName]


def observe(ledger: Deployments, frontends: Mapping[str, SimulatedFrontend]) -> Observation:
    """What stands now."""
    return Observation(
        rows={row.name: row for row in ledger.history(None, ALL)},
        fences={name: frontend.fence for name, frontend in frontends.items()},
        currents={name: frontend.current for name, frontend in frontends.items()},
    )


def judge(
    before: Observation,
    ledger: Deployments,
    frontends: Mapping[str, SimulatedFrontend],
    words: Iterable[ActivationName] = (),
) -> Observation:
    """Hold what stands now against what stood `before`; `words` are the flips that frontends are being told to do.

    Returns what stands now. Raises `ViolationError`.
    """
    now = observe(ledger, frontends)
    for frontend in frontends.values():
        _judge_frontend(before, now, frontend)
    for name, row in now.rows.items():
        old = before.rows.get(name)
        if old is row:
            continue
        judge_decision(old, row)
        mine = [frontends[of] for of in row.plan.frontends]
        if row.decision is Decision.COMMIT and (old is None or old.decision is None):
            _judge_commit(row, mine)
        if row.state is State.DONE and (old is None or old.state is not State.DONE):
            _judge_done(row, mine)
    for name in words:
        expect(now.rows[name].decision is Decision.COMMIT, f"a word for {name} is on its way without a commit")
    return now


def expect(holds: bool, what: str) -> None:
    """`ViolationError` where it does not hold."""
    if not holds:
        raise ViolationError(what)


def _judge_frontend(before: Observation, now: Observation, frontend: SimulatedFrontend) -> None:
    name, old = frontend.name, before.currents[frontend.name]
    expect(frontend.fence >= before.fences[name], f"{name}: the fence fell to {frontend.fence}")
    expect(frontend.fence >= frontend.current.epoch, f"{name}: the fence is below what is served")
    if frontend.current == old:
        return
    expect(frontend.current.epoch > old.epoch, f"{name}: went back from {old} to {frontend.current} (G2)")
    row = now.rows[frontend.current]
    expect(row.decision is Decision.COMMIT, f"{name}: flipped, and the ledger says {row.decision} (G3, G5)")


def judge_decision(old: Deployment | None, row: Deployment) -> None:
    """A row against what it was: decided once, ended for ever, its state that of its decision."""
    if old is not None and old.decision is not None:
        expect(row.decision is old.decision, f"decided twice: {old.decision}, then {row.decision} (G5)")
    if old is not None and old.state.ended:
        expect(row.state is old.state, f"ended as {old.state}, then moved to {row.state} (G5)")
    expect(row.state in _STATES[row.decision], f"state {row.state} with decision {row.decision} (G5)")


def _judge_commit(row: Deployment, frontends: list[SimulatedFrontend]) -> None:
    expect(bool(frontends), "committed, and nobody agreed")
    for frontend in frontends:
        expect(frontend.fence >= row.epoch, f"committed, and {frontend.name} had not armed")
        expect(frontend.whole(row.name), f"committed, and {frontend.name} does not hold the release whole (G1)")


def _judge_done(row: Deployment, frontends: list[SimulatedFrontend]) -> None:
    expect(bool(frontends), "done, and nobody serves it")
    for frontend in frontends:
        expect(frontend.current == row.name, f"done, and {frontend.name} serves {frontend.current} (G3)")
