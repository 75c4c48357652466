"""Names of activations, and where apps lie in them."""

from __future__ import annotations

import json
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.activation import NAME, NONCE, NOTHING, Activation, ActivationName, Placement
from orchestrator.domain.errors import LockstepError

NONCE_TEXT = "0123456789abcdef"

names = st.builds(ActivationName, st.integers(0, 9_999_999_999), st.text("0123456789abcdef", min_size=16, max_size=16))


@given(names)
def test_a_name_is_read_as_it_was_written(name: ActivationName) -> None:
    assert ActivationName.parse(str(name)) == name


@given(st.text() | st.from_regex(NAME) | st.from_regex(r"[0-9]{1,12}-[0-9a-fA-F]{15,17}"))
def test_what_is_read_is_what_would_have_been_written(text: str) -> None:
    try:
        name = ActivationName.parse(text)
    except LockstepError:
        return
    assert str(name) == text
    assert NONCE.fullmatch(name.nonce)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1-",
        f"-{NONCE_TEXT}",
        f"-1-{NONCE_TEXT}",
        f"+1-{NONCE_TEXT}",
        f"01-{NONCE_TEXT}",
        f"00-{NONCE_TEXT}",
        f"12345678901-{NONCE_TEXT}",
        f"1-{NONCE_TEXT.upper()}",
        f"1-{NONCE_TEXT}0",
        f"1-{NONCE_TEXT[:-1]}",
        f"1-{NONCE_TEXT[:-1]}g",
        f"1-{NONCE_TEXT}\n",
        f"\n1-{NONCE_TEXT}",
        f" 1-{NONCE_TEXT}",
        f"1-{NONCE_TEXT} ",
        f"1--{NONCE_TEXT}",
        f"1_{NONCE_TEXT}",
        f"\u0661-{NONCE_TEXT}",
        f"1\u0661-{NONCE_TEXT}",
        f"1-{NONCE_TEXT[:-1]}\u0661",
        f"../1-{NONCE_TEXT}",
        f"1-{NONCE_TEXT}/..",
        f"1-{NONCE_TEXT}\x00",
    ],
)
def test_anything_else_is_no_name(text: str) -> None:
    with pytest.raises(LockstepError, match="not an activation's name"):
        ActivationName.parse(text)


def test_a_long_text_is_quoted_in_part() -> None:
    with pytest.raises(LockstepError) as refused:
        ActivationName.parse("x" * 1_000_000)
    assert refused.value.problem.found == "x" * 80


@given(names, names)
def test_the_epoch_orders_activations(one: ActivationName, other: ActivationName) -> None:
    if one.epoch != other.epoch:
        assert (one < other) == (one.epoch < other.epoch)
    assert (one == other) == (str(one) == str(other))


@given(names)
def test_nothing_comes_before_every_deployment(name: ActivationName) -> None:
    assert str(NOTHING) == "0-0000000000000000"
    assert name >= NOTHING
    assert ActivationName.parse(str(NOTHING)) == NOTHING


@pytest.mark.parametrize(
    ("mount", "segment", "url"), [("/", "-", "/index.html"), ("/ToDo/", "ToDo", "/ToDo/index.html")]
)
def test_a_mount_is_one_segment(mount: str, segment: str, url: str) -> None:
    placement = Placement("ToDo", mount, "1", "a" * 64)
    assert placement.segment == segment
    assert placement.url("index.html") == url


PLACEMENTS = tuple(Placement(app, f"/{app.lower()}/", "1", str(n) * 64) for n, app in enumerate(("B", "A", "C")))


def test_an_activation_does_not_depend_on_the_order_of_its_placements() -> None:
    name = ActivationName(7, NONCE_TEXT)
    made = {Activation.of(name, order) for order in permutations(PLACEMENTS)}
    [activation] = made
    assert [placement.app for placement in activation.placements] == ["A", "B", "C"]


def test_the_document_says_which_releases_are_served() -> None:
    document = Activation.of(ActivationName(7, NONCE_TEXT), PLACEMENTS[:1]).document()
    assert document == {
        "activation": f"7-{NONCE_TEXT}",
        "apps": {"B": {"digest": "0" * 64, "mount": "/b/", "version": "1"}},
        "epoch": 7,
    }
    assert json.loads(json.dumps(document)) == document
