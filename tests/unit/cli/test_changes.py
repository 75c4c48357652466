"""APP=VERSION, as typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.deployments import parse_changes
from orchestrator.domain.errors import UsageError


def test_each_word_is_an_app_and_its_version() -> None:
    assert parse_changes(["ToDo=2.0.0", "Portal=1.4.1-rc.1+7"]) == {"ToDo": "2.0.0", "Portal": "1.4.1-rc.1+7"}


def test_an_app_twice_with_two_versions_is_refused() -> None:
    assert parse_changes(["ToDo=1", "ToDo=1"]) == {"ToDo": "1"}
    with pytest.raises(UsageError, match="two versions of ToDo"):
        parse_changes(["ToDo=1", "ToDo=2"])


@pytest.mark.parametrize("word", ["ToDo", "ToDo=", "=1", "To Do=1", "ToDo=1/2", "ToDo=../x", "ToDo=1\n", "ToDo=1=2"])
def test_what_is_neither_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="not a release"):
        parse_changes([word])


@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_words_are_changes_or_a_usage_error(words: list[str]) -> None:
    try:
        changes = parse_changes(words)
    except UsageError:
        return
    assert sorted({f"{app}={version}" for app, version in changes.items()}) == sorted(set(words))
