"""Batches: all of the askings, each once, the same way each time."""

from __future__ import annotations

import pytest

from orchestrator.domain.batch import MOST, SHARES, Batch, batches
from orchestrator.domain.deployment import Step
from orchestrator.domain.effects import Ask
from orchestrator.ports import work_on


def asks(count: int, attempt: int = 1, step: Step = Step.STAGE) -> list[Ask]:
    return [Ask(step, f"fe{number}", attempt) for number in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 63, 64, 65, 1000])
def test_every_asking_is_in_one_batch_in_its_order(count: int) -> None:
    made = list(batches(asks(count)))
    assert [ask for batch in made for ask in batch.asks] == asks(count)
    assert all(1 <= len(batch.frontends) <= MOST and batch.name == batch.frontends[0] for batch in made)
    assert len({work_on(7, batch) for batch in made}) == len(made)
    assert made == list(batches(asks(count)))


@pytest.mark.parametrize(("count", "messages"), [(0, 0), (1, 1), (4, SHARES), (8, SHARES), (64, SHARES), (1000, 63)])
def test_small_fleets_are_shared_and_large_ones_take_few_messages(count: int, messages: int) -> None:
    assert len(list(batches(asks(count)))) == messages


def test_another_attempt_or_step_is_another_batch() -> None:
    mixed = [*asks(1), *asks(1, attempt=2), *asks(1, step=Step.VERIFY)]
    assert [(batch.step, batch.attempt) for batch in batches(mixed)] == [
        (Step.STAGE, 1),
        (Step.STAGE, 2),
        (Step.VERIFY, 1),
    ]


def test_what_is_left_of_a_batch_is_the_same_work() -> None:
    batch = Batch(Step.STAGE, 1, "fe1", ("fe1", "fe2", "fe3"))
    left = batch.only({"fe3", "fe2"})
    assert left.frontends == ("fe2", "fe3")
    assert work_on(7, left) == work_on(7, batch)
