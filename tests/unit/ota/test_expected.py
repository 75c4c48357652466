"""What frontends are asked: made once for all of them, each draws its own sample."""

from __future__ import annotations

from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.release import Manifest
from orchestrator.ota.expected import Questions
from tests.unit.ota.test_documents import file

NAMES = [f"js/{number}.js" for number in range(40)]
BEFORE = Manifest.of([file("index.html", b"<p>"), *(file(name, name.encode()) for name in NAMES)])
NOW = Manifest.of([file("index.html", b"<p>"), file("js/0.js", b"new"), *BEFORE.files[2:]])
DOCUMENTS = 3


def questions(previous: dict[str, Manifest]) -> Questions:
    placement = Placement("ToDo", "/ToDo/", "1", NOW.digest)
    activation = Activation.of(ActivationName(4, "0123456789abcdef"), [placement])
    return Questions.of(activation, {NOW.digest: Described(NOW)}, previous)


def urls(made: Questions, sample: int | None, seed: str) -> list[str]:
    return [expected.url for _, expected in made.asked(sample, seed)]


def test_what_changed_is_asked_of_everyone_and_the_sample_differs() -> None:
    made = questions({"ToDo": BEFORE})
    one, other = (urls(made, 4, seed) for seed in ("1/fe1", "1/fe2"))

    # The documents and the entry, then by path and by hash: what changed, and four more.
    assert len(one) == len(other) == DOCUMENTS + 1 + 2 * (1 + 4)
    assert {"/ToDo/js/0.js", f"/ToDo/js/0.js?{NOW.by_path['js/0.js'].ota}"} <= set(one) & set(other)
    assert one != other
    assert one == urls(made, 4, "1/fe1")


def test_of_a_first_release_the_sample_stands_for_all() -> None:
    assert len(urls(questions({}), 4, "1/fe1")) == DOCUMENTS + 1 + 2 * 4


def test_every_file_is_asked_for_where_there_is_no_sample() -> None:
    assert len(urls(questions({"ToDo": BEFORE}), None, "1/fe1")) == DOCUMENTS + 1 + 2 * len(NOW)


def test_the_size_of_every_answer_is_known() -> None:
    assert all(expected.size is not None for _, expected in questions({}).asked(None, ""))
