"""Who is in rotation, for every mix of what the ledger can say of a frontend."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import pytest

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.deployment import Deployment, Kind, State
from orchestrator.domain.rotation import Drain, Rotation, rotation
from tests.protocol.simulation.ledger import MOMENT, MemoryLedger
from tests.protocol.simulation.plans import FLEET, plan

LAST = ActivationName(5, "5" * 16)
#: What a frontend's part was in the readmissions since: none, or a readmission of this state at this activation.
PARTS: list[tuple[State, ActivationName] | None] = [
    None,
    *((state, LAST) for state in State),
    (State.DONE, ActivationName(5, "6" * 16)),
    (State.DONE, ActivationName(4, "5" * 16)),
]
DRAINED = [None, False, True]


def committed(*frontends: str) -> Deployment:
    row = MemoryLedger().plan(replace(plan(0), frontends=frontends))
    return replace(row, name=LAST, state=State.DONE)


def readmission(state: State, name: ActivationName, *frontends: str) -> Deployment:
    row = committed(*frontends)
    return replace(row, name=name, state=state, plan=replace(row.plan, kind=Kind.READMIT))


def drain(frontend: str, *, confirmed: bool, number: int = 1) -> Drain:
    made = Drain(number, FLEET, frontend, LAST, "ann", "", {}, MOMENT)
    return replace(made, by="haproxy", confirmed_at=MOMENT) if confirmed else made


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("drained", DRAINED)
def test_a_frontend_is_in_where_it_was_brought_along_and_nobody_confirmed_that_it_is_out(
    planned: bool, part: tuple[State, ActivationName] | None, drained: bool | None
) -> None:
    since = [] if part is None else [readmission(*part, "a")]
    drains = [] if drained is None else [drain("a", confirmed=drained)]
    present = rotation(["a"], committed(*"ab" if planned else "b"), since, drains)
    if drained:
        assert present == Rotation((), {"a": drains[0]}, ())
    elif planned or part == (State.DONE, LAST):
        assert present == Rotation(("a",), {}, ())
    else:
        assert present == Rotation((), {}, ("a",))


@pytest.mark.parametrize("drained", DRAINED)
def test_before_the_first_deployment_everybody_is_in_but_who_is_drained(drained: bool | None) -> None:
    drains = [] if drained is None else [drain("a", confirmed=drained)]
    present = rotation("ab", None, [], drains)
    assert present.new == ()
    assert present.serving == (("b",) if drained else ("a", "b"))
    assert list(present.drained) == (["a"] if drained else [])


def test_a_deployment_of_another_kind_at_the_epoch_brings_nobody_in() -> None:
    other = replace(readmission(State.DONE, LAST, "a"), plan=replace(plan(0), kind=Kind.ROLLBACK, frontends=("a",)))
    assert rotation("ab", committed("b"), [other], []).new == ("a",)


def test_each_frontend_of_the_inventory_is_in_one_place_in_the_inventory_s_order() -> None:
    last, since = committed(*"abx"), [readmission(State.DONE, LAST, "c"), readmission(State.DONE, LAST, *"dy")]
    drains = [
        drain("b", confirmed=True),
        drain("d", confirmed=True),
        drain("a", confirmed=False),
        drain("z", confirmed=True),
    ]
    for names in permutations("abcde"):
        present = rotation(names, last, since, drains)
        assert present.serving == tuple(name for name in names if name in "ac")
        assert present.new == ("e",)
        # Also one that the inventory does not name any more: it is out, whoever asks.
        assert set(present.drained) == {"b", "d", "z"}
    assert {frontend: d.number for frontend, d in present.drained.items()} == {"b": 1, "d": 1, "z": 1}


def test_what_was_served_before_brings_nobody_in() -> None:
    """A frontend that was drained when the last deployment was planned comes in through a readmission alone."""
    for state, name in product(State, (ActivationName(4, "4" * 16), ActivationName(6, "6" * 16))):
        assert rotation("a", committed("b"), [readmission(state, name, "a")], []).new == ("a",)
