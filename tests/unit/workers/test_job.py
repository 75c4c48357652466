"""What must lie on a frontend that comes back, and what may go from one that was deployed to."""

from __future__ import annotations

from itertools import chain, combinations

import pytest

from orchestrator.domain.activation import NOTHING, Activation, ActivationName
from orchestrator.domain.deployment import Kind
from orchestrator.ota.layouts import layout
from tests.unit.services.fleets import fleet
from tests.unit.workers.jobs import job_of, named
from workers.frontend.commands import Probed

OWN = 5
EARLIER = (1, 3, 4)
ALL = [NOTHING, *(named(epoch) for epoch in range(1, 8)), ActivationName(3, "f" * 16), ActivationName(OWN, "f" * 16)]


def probed(fence: int, activations: tuple[ActivationName, ...]) -> Probed:
    """A frontend that holds these."""
    there = frozenset(map(str, activations))
    return Probed("0" * 64, fence, NOTHING, drained=True, drain=1, free=0, clock=0.0, activations=there)


@pytest.mark.parametrize("fence", range(8))
def test_a_frontend_that_comes_back_gets_what_it_lacks_and_can_still_take(fence: int) -> None:
    job = job_of(OWN, kind=Kind.READMIT, earlier=EARLIER)
    assert job.readmits
    for size in range(len(EARLIER) + 1):
        for there in combinations(map(named, EARLIER), size):
            brought = [held.name for held in job.to_bring(probed(fence, there))]
            wanted = [named(epoch) for epoch in EARLIER if epoch > fence and named(epoch) not in there]
            # Oldest first: each one that is staged must be above the fence, and none raises it.
            assert brought == wanted


def test_another_activation_of_an_epoch_is_not_the_one_that_is_wanted() -> None:
    job = job_of(OWN, kind=Kind.READMIT, earlier=EARLIER)
    assert [held.name for held in job.to_bring(probed(0, (ActivationName(3, "f" * 16),)))] == [*map(named, EARLIER)]


def test_a_frontend_in_rotation_is_brought_nothing_of_earlier() -> None:
    job = job_of(OWN, kind=Kind.DEPLOY)
    assert not job.readmits
    assert job.to_bring(probed(0, ())) == []


def test_only_what_is_below_and_need_not_stay_goes_and_each_in_its_own_way() -> None:
    kept, served = {3, 4}, {1, 2, 3, 4}
    job = job_of(OWN, kept=kept, served=served)
    for there in chain.from_iterable(combinations(ALL, size) for size in range(len(ALL) + 1)):
        old, never = job.to_prune(probed(OWN, there))
        below = {name for name in there if name.epoch < OWN and name != NOTHING}
        assert old == sorted(below & {named(1), named(2)})
        # An aborted deployment's, of whatever epoch: nobody was ever shown it.
        assert never == sorted(below - {named(epoch) for epoch in served})


def test_what_is_kept_stays_even_where_it_was_never_committed() -> None:
    job = job_of(OWN, kept={2}, served=set())
    assert job.to_prune(probed(OWN, (named(1), named(2)))) == ([], [named(1)])


def test_a_held_layout_is_that_of_its_activation() -> None:
    job = job_of(OWN, kind=Kind.READMIT, earlier=EARLIER)
    for held in job.prepared.earlier:
        assert held.layout.activation.path == f"activations/{held.name}"
    assert layout(Activation.of(named(OWN), ()), {}).activation.path == job.prepared.own.layout.activation.path
    assert job.fleet == fleet()
