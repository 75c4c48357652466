"""The time between the first and the last flip, by clocks of which something is known."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.domain.skew import Flip, skew

# Multiples of a microsecond, as clocks tell them: what is added to them is told apart again.
moments = st.integers(0, 10**12).map(lambda micros: micros / 2**20)
offsets = st.integers(-(10**9), 10**9).map(lambda micros: micros / 2**20)
uncertainties = st.integers(0, 10**6).map(lambda micros: micros / 2**20)
flips = st.builds(Flip, moments, offsets, uncertainties)
fleets = st.lists(flips, min_size=2)


@pytest.mark.parametrize("known", [[], [Flip(12.5)]])
def test_fewer_than_two_flips_have_no_skew(known: list[Flip]) -> None:
    assert skew(known) is None


@given(fleets)
def test_the_skew_is_the_largest_distance_between_two_flips(fleet: list[Flip]) -> None:
    distances = [abs(one.corrected - other.corrected) for one in fleet for other in fleet]
    assert skew(fleet) == max(distances)


@given(fleets.flatmap(st.permutations))
def test_the_order_of_the_answers_does_not_matter(fleet: list[Flip]) -> None:
    assert skew(fleet) == skew(sorted(fleet, key=lambda flip: flip.at))


@given(st.lists(moments, min_size=2), offsets)
def test_clocks_that_are_known_to_be_wrong_are_put_right(times: list[float], offset: float) -> None:
    right = [Flip(at) for at in times]
    wrong = [Flip(at + offset, offset) for at in times[:1]] + right[1:]
    assert skew(wrong) == skew(right)


@example(100.0, 0.25, 1.0)
@given(moments, uncertainties, st.floats(-1, 1))
def test_an_offset_within_its_uncertainty_counts_as_none(at: float, uncertainty: float, part: float) -> None:
    assert Flip(at, uncertainty * part, uncertainty).corrected == at


@given(moments, offsets, uncertainties)
def test_an_offset_beyond_its_uncertainty_is_taken_off(at: float, offset: float, uncertainty: float) -> None:
    if abs(offset) > uncertainty:
        assert Flip(at, offset, uncertainty).corrected == at - offset


def test_a_slow_clock_and_a_fast_one_that_flip_at_once_have_no_skew() -> None:
    assert skew([Flip(90.0, -10.0, 0.25), Flip(110.0, 10.0, 0.25), Flip(100.0, 0.125, 0.25)]) == 0.0
