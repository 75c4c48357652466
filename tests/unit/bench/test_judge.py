"""The observers' judge: what counts as torn, backward, and an error."""

from __future__ import annotations

import pytest

from tests.bench.judge import Judge, Seen, parts_of, version_of
from tests.bench.release import PARTS, page

OLD, NEW = "1.0.0", "2.0.0"


@pytest.mark.parametrize(
    ("visits", "seen"),
    [
        pytest.param([(OLD, [OLD, OLD]), (NEW, [NEW, NEW])], Seen(pages=2), id="whole"),
        pytest.param([(NEW, [OLD, NEW])], Seen(pages=1, torn=1), id="a part of the old release"),
        pytest.param([(OLD, [OLD, NEW])], Seen(pages=1, torn=1), id="a part of the new release"),
        pytest.param([(OLD, [OLD, None])], Seen(pages=1, torn=1), id="a part is missing"),
        pytest.param([(NEW, [OLD, OLD])], Seen(pages=1, torn=1), id="two parts, one torn page"),
        pytest.param([(NEW, [NEW]), (OLD, [OLD])], Seen(pages=2, backward=1), id="backward"),
        pytest.param([(NEW, [NEW]), (OLD, [OLD]), (OLD, [OLD])], Seen(pages=3, backward=2), id="still backward"),
        pytest.param([(None, [])], Seen(errors=1), id="no page"),
        pytest.param([("3.0.0", [])], Seen(errors=1), id="an unknown release"),
    ],
)
def test_what_a_client_saw(visits: list[tuple[str | None, list[str | None]]], seen: Seen) -> None:
    judge = Judge([OLD, NEW])
    for version, parts in visits:
        judge.judge(version, parts)
    assert judge.seen == seen


def test_a_page_names_its_version_and_its_parts() -> None:
    assert version_of(page(NEW)) == NEW
    assert parts_of(page(NEW)) == list(PARTS)
    assert version_of(b"404 Not Found") is None
