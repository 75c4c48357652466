"""What goes to a worker and comes back from it: whole, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.adoption import errand as errands
from orchestrator.domain.adoption.errand import Errand, Taken, Taking, answer, read_answer
from orchestrator.domain.adoption.site import Held, Site, Where
from orchestrator.domain.errors import Problem, UnansweredError, UsageError

SITE = Site("/srv", {"a b/ü": Held(3, "a" * 64)}, {"x": "/srv/y"}, {"pipe": "odd"})
TAKING = Taking(app="ToDo", version="1.0.0", digest="b" * 64, actor="ann@example")
ERRAND = Errand(
    nonce="0123456789abcdef" * 2,
    fleet="Lab/web",
    frontend="fe1",
    reached="c" * 64,
    where=Where(path="~/site/current", follow=("/data",)),
    seconds=30,
    taking=TAKING,
)


@pytest.mark.parametrize("brought", [SITE, Taken("d" * 64, True, 1, 2), Problem("no", "fe1", "a", "b", "c")])
def test_what_a_worker_brings_arrives_as_it_was(brought: Site | Taken | Problem) -> None:
    assert read_answer(answer("fe1", brought)) == ("fe1", brought)


def test_an_errand_arrives_as_it_was() -> None:
    assert Errand.read(json.loads(json.dumps(ERRAND.words()))) == ERRAND


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "*"},
        {"fleet": "web"},
        {"frontend": "fe1; reboot"},
        {"where": {"path": "/srv/../etc"}},
        {"seconds": 0},
        {"seconds": "inf"},
        {"taking": {**TAKING.model_dump(), "version": "../x"}},
        {"address": "198.51.100.1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_message_with_anything_else_in_it_is_no_errand(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Errand.read([{**ERRAND.words()[0], **change}])


@pytest.mark.parametrize("words", [[], [1], [None, None]])
def test_a_message_of_another_form_is_no_errand(words: list[Any]) -> None:
    with pytest.raises(UsageError):
        Errand.read(words)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"frontend":"fe 1","brought":{"what":"x"}}',
        b'{"frontend":"fe1","brought":{"top":"/","files":{"a":{"size":-1,"sha256":"%s"}}}}' % (b"a" * 64),
        b'{"frontend":"fe1","brought":{"top":"/","files":{"a":{"size":1,"sha256":"A"}}}}',
        b'{"frontend":"fe1","brought":{"digest":"../x","new":true,"objects":1,"size":1}}',
        b"[" * 100_000,
    ],
    ids=["empty", "nothing", "name", "size", "hash", "digest", "deep"],
)
def test_a_body_of_another_form_is_no_answer(body: bytes) -> None:
    with pytest.raises(UnansweredError):
        read_answer(body)


@given(st.binary(max_size=200))
def test_bytes_are_no_answer(body: bytes) -> None:
    with pytest.raises(UnansweredError):
        read_answer(body)


def test_a_site_too_large_for_an_answer_is_told_as_a_problem() -> None:
    path = "x" * 1000
    files = {f"{n}{path}": Held(1, "a" * 64) for n in range(errands.LONGEST_ANSWER // 1000)}
    name, brought = read_answer(answer("fe1", Site("/srv", files)))
    assert name == "fe1"
    assert isinstance(brought, Problem)
    assert brought.what == "the site has too many files for one answer"
