"""Builds in the field: recorded once, listed until they are retired, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from orchestrator.adapters.ledger.builds import SqlBuilds
from orchestrator.domain.build import Build
from orchestrator.domain.errors import ConflictError, LockstepError, UsageError
from orchestrator.ports import Builds
from tests.integration.ledgers import Callers, Ticks

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
BUILD = Build("Production", "ToDo", "3.0.0+7", "1.0.0", "android", "ada", NOON)


@pytest.fixture
def builds(ledger_engine: Engine) -> Builds:
    return SqlBuilds(ledger_engine, Ticks())


def test_a_build_comes_back_as_it_was_recorded(builds: Builds) -> None:
    made = builds.add_build(BUILD)
    assert made == BUILD
    assert builds.builds("Production", "ToDo") == [made]


def test_builds_are_listed_oldest_first_of_all_of_an_environment_or_of_one_app(builds: Builds) -> None:
    first = builds.add_build(BUILD)
    second = builds.add_build(replace(BUILD, id="1"))
    other = builds.add_build(replace(BUILD, app="Shop"))
    tested = builds.add_build(replace(BUILD, environment="Test"))
    assert builds.builds() == [first, second, other, tested]
    assert builds.builds("Production") == [first, second, other]
    assert builds.builds("Production", "ToDo") == [first, second]
    assert builds.builds(app="Shop") == [other]
    assert builds.builds("production") == []


def test_the_same_again_is_no_change(builds: Builds) -> None:
    made = builds.add_build(BUILD)
    assert builds.add_build(replace(BUILD, actor="bob")) == made
    assert builds.add_build(replace(BUILD, platform="")) == made
    assert builds.builds() == [made]


@pytest.mark.parametrize("other", [{"version": "2.0.0"}, {"platform": "ios"}])
def test_an_id_is_given_once_to_an_app_even_to_one_that_is_retired(builds: Builds, other: dict[str, str]) -> None:
    made = builds.add_build(BUILD)
    for _ in range(2):
        with pytest.raises(ConflictError, match="with something else"):
            builds.add_build(replace(BUILD, **other))  # type: ignore[arg-type]
        assert builds.builds() in ([made], [])
        builds.retire_build("Production", "ToDo", BUILD.id)


def test_a_platform_that_nobody_said_can_be_said_later(builds: Builds) -> None:
    builds.add_build(replace(BUILD, platform=""))
    assert builds.add_build(BUILD).platform == "android"
    assert [build.platform for build in builds.builds()] == ["android"]


def test_a_retired_build_is_listed_no_more_and_the_first_time_stays(builds: Builds) -> None:
    builds.add_build(BUILD)
    kept = builds.add_build(replace(BUILD, id="4"))
    gone = builds.retire_build("Production", "ToDo", BUILD.id)
    assert gone.retired_at is not None
    assert builds.builds() == [kept]
    assert builds.retire_build("Production", "ToDo", BUILD.id) == gone


def test_a_retired_build_that_is_recorded_again_is_in_the_field_again(builds: Builds) -> None:
    made = builds.add_build(BUILD)
    builds.retire_build("Production", "ToDo", BUILD.id)
    assert builds.add_build(BUILD) == made
    assert builds.builds() == [made]


def test_a_build_that_nobody_recorded_is_not_retired(builds: Builds) -> None:
    builds.add_build(BUILD)
    for environment, app, name in (
        ("Test", "ToDo", BUILD.id),
        ("Production", "Shop", BUILD.id),
        ("Production", "", ""),
    ):
        with pytest.raises(UsageError, match="no build"):
            builds.retire_build(environment, app, name)
    assert len(builds.builds()) == 1


@pytest.mark.parametrize("callers", list(Callers))
def test_of_many_who_record_one_id_at_once_all_are_told_of_one_build(builds: Builds, callers: Callers) -> None:
    outcomes = callers.at_once([lambda: builds.add_build(BUILD)] * 8)
    assert not [outcome for outcome in outcomes if isinstance(outcome, LockstepError)]
    assert len(builds.builds()) == 1


def test_of_many_who_give_one_id_to_different_builds_one_is_recorded(builds: Builds) -> None:
    mine = [replace(BUILD, version=f"1.0.{n}") for n in range(8)]
    outcomes = Callers.THREADS.at_once([lambda build=build: builds.add_build(build) for build in mine])  # type: ignore[misc]
    (stands,) = builds.builds()
    assert [o for o in outcomes if isinstance(o, Build)] == [stands]
    assert sum(isinstance(o, ConflictError) for o in outcomes) == 7
