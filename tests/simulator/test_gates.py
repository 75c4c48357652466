"""Fleets with a command at every gate, against every mishap: nobody flips whom a gate stopped, and none is left out."""

from __future__ import annotations

from collections import Counter

from orchestrator.domain.deployment import Decision, Kind, State
from orchestrator.domain.effects import GateName
from tests.simulator.chance import run
from tests.simulator.gates import Book

SEEDS = range(250)


def test_no_seed_commits_what_a_gate_stopped_or_leaves_a_gate_out() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        book = Book(seed)
        rows = run(seed, gates=book).rows
        for row in rows:
            if row.plan.kind is Kind.READMIT:
                assert not any(number == row.id for number, _ in book.begun), seed
                continue
            unled = (row.id, GateName.BEFORE_STAGE) not in book.begun
            if row.state is State.ABORTED and (unled or row.troubles[0].step == "plan"):
                # Aborted where it was planned, since the broker took no work (docs/gates.md, "When each runs").
                continue
            stops = {(row.id, GateName.BEFORE_STAGE), (row.id, GateName.BEFORE_COMMIT)}
            if row.decision is Decision.COMMIT:
                assert stops <= book.passed, seed
                assert not stops & book.refused, seed
            after = {State.DONE: GateName.AFTER_ACTIVATE, State.ABORTED: GateName.ON_ABORT}[row.state]
            assert (row.id, after) in book.passed | book.refused, seed
            seen["committed"] += row.decision is Decision.COMMIT
            seen["refused"] += bool(stops & book.refused)
            seen["called off"] += bool(stops & book.called_off)
            seen["again"] += book.begun.count((row.id, after)) > 1
    assert all(seen[what] for what in ("committed", "refused", "called off", "again")), seen
