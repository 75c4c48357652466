"""The client against a fleet in memory that obeys docs/protocol.md, "Serving", and against fleets that do not."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.ota.answers import Answer, NoAnswer
from orchestrator.ota.behaviour import Behaviour
from orchestrator.ota.client import CHANGED, MORE, PARTS
from orchestrator.ota.tally import Count, Fault, Kind, Tally
from orchestrator.ota.target import Ask, Want
from orchestrator.ota.upgrades import Ending
from tests.unit.ota.served import ENTRY, Frontend, fleet, go_round, module_info, name, new_client, token, watch


@settings(deadline=None)
@given(st.integers(), st.booleans(), st.sampled_from(Behaviour))
def test_a_fleet_that_obeys_is_found_faultless_wherever_in_a_round_it_flips(
    seed: int, names_missing: bool, behaviour: Behaviour
) -> None:
    observed = fleet(seed, names_missing=names_missing)
    tally = watch(observed, behaviour)
    assert tally.upgrades.of(Ending.FAILED) == tally.upgrades.of(Ending.MISSED) == 0
    assert tally.document()["samples"] == []
    assert tally.good
    assert tally.newest_epoch == 6


def test_nearly_every_answer_of_such_a_fleet_is_judged() -> None:
    tallies = [watch(fleet(seed)) for seed in range(50)]
    assert sum(tally.unjudged for tally in tallies) < sum(tally.checks for tally in tallies) / 100


def test_a_document_of_a_newer_activation_is_judged_after_the_next_version_check() -> None:
    old, new = {ENTRY: b"old"}, {ENTRY: b"new"}
    for served, expected in ((b"new", {}), (b"old", {Kind.OTHER_BYTES: 1})):
        frontend = Frontend({name(1): old, name(2): new}, name(1))
        tally = Tally()
        client = new_client(tally, Random(1))

        def answer(ask: Ask, frontend: Frontend = frontend, served: bytes = served) -> Answer:
            if ask.want is Want.DOCUMENT and frontend.current == name(1):
                frontend.current = name(2)
                return Answer(200, served, str(name(2)))
            return frontend.serve(ask, None, names_missing=True)

        asked, whole = go_round(client, answer)
        assert [ask.want for ask in asked] == [Want.VERSION, Want.MANIFEST, Want.BY_HASH, Want.DOCUMENT]
        assert whole
        assert (tally.checks, dict(tally.kinds)) == (3, {})
        asked, _ = go_round(client, answer)
        assert dict(tally.kinds) == expected
        assert (tally.checks, tally.unjudged) == (3 + 1 + len(asked), 0)


def test_a_document_whose_activation_is_never_told_is_not_judged() -> None:
    frontend = Frontend({name(1): {ENTRY: b"one"}, name(3): {ENTRY: b"three"}}, name(1))

    def answer(ask: Ask) -> Answer:
        if ask.want is Want.DOCUMENT and frontend.current == name(1):
            frontend.current = name(3)
            return Answer(200, b"two", str(name(2)))
        return frontend.serve(ask, None, names_missing=True)

    tally = Tally()
    client = new_client(tally, Random(1))
    go_round(client, answer)
    go_round(client, answer)
    assert (tally.unjudged, dict(tally.kinds)) == (1, {})


def test_every_answer_below_the_highest_epoch_is_backward_not_only_the_first() -> None:
    release = {ENTRY: b"entry"}
    frontend = Frontend({name(1): release, name(2): release}, name(2))
    tally = Tally()
    client = new_client(tally, Random(1))
    go_round(client, lambda ask: frontend.serve(ask, None, names_missing=True))
    frontend.current = name(1)
    for _ in range(2):
        go_round(client, lambda ask: frontend.serve(ask, None, names_missing=True))
    assert dict(tally.kinds) == {Kind.BACKWARD: 4}


def test_parts_are_held_against_the_page_that_the_document_made() -> None:
    release = {ENTRY: b"entry"}
    frontend = Frontend({name(1): release, name(2): release}, name(1))
    tally = Tally()
    client = new_client(tally, Random(1))
    go_round(client, lambda ask: frontend.serve(ask, None, names_missing=True))

    def answer(ask: Ask) -> Answer:
        frontend.current = name(2 if ask.want is Want.VERSION else 1)
        return frontend.serve(ask, None, names_missing=True)

    asked, _ = go_round(client, answer)
    assert asked[-1].want is Want.PART
    assert dict(tally.kinds) == {Kind.BACKWARD: 1}


def test_a_document_that_waits_may_be_backward_at_once() -> None:
    frontend = Frontend({name(1): {ENTRY: b"one"}, name(2): {ENTRY: b"two"}}, name(2))
    tally = Tally()
    client = new_client(tally, Random(1))

    def answer(ask: Ask) -> Answer:
        frontend.current = name(1 if ask.want is Want.DOCUMENT else 2)
        return frontend.serve(ask, None, names_missing=True)

    go_round(client, answer)
    assert (dict(tally.kinds), tally.checks) == ({Kind.BACKWARD: 1}, 3)


def found(**broken: int | bool) -> set[Kind]:
    kinds: set[Kind] = set()
    for seed in range(60):
        kinds |= set(watch(fleet(seed, **broken)).kinds)  # type: ignore[arg-type]
    return kinds


def test_a_fleet_without_pins_is_found_out() -> None:
    assert {Kind.BACKWARD, Kind.OTHER_BYTES} <= found(obeys_pins=False)


def test_a_frontend_that_was_left_behind_is_found_out() -> None:
    assert {Kind.BACKWARD, Kind.OTHER_BYTES, Kind.MISSING, Kind.NO_MANIFEST} <= found(left_behind=1)


def test_a_fleet_that_breaks_its_word_never_counts_as_one_that_can_not_be_reached() -> None:
    kinds = found(obeys_pins=False) | found(left_behind=1)
    assert {kind for kind in kinds if kind.counted is Count.ERRORS} == set()


def whole_release(files: int) -> Frontend:
    release = {f"/A/{number}.js": f"{number}".encode() for number in range(files)}
    return Frontend({name(1): {ENTRY: b"entry", **release}}, name(1))


def test_a_round_is_bounded_and_the_next_asks_only_a_few_files() -> None:
    frontend = whole_release(500)
    client = new_client(Tally(), Random(1))

    def answer(ask: Ask) -> Answer:
        return frontend.serve(ask, None, names_missing=True)

    first, _ = go_round(client, answer)
    second, _ = go_round(client, answer)
    assert CHANGED <= sum(ask.want is Want.BY_HASH for ask in first) <= CHANGED + MORE
    assert sum(ask.want is Want.MANIFEST for ask in first) == 1
    assert [ask.want for ask in second] == [Want.VERSION, *[Want.BY_HASH] * MORE, Want.DOCUMENT, *[Want.PART] * PARTS]


def test_only_what_changed_is_asked_for_after_a_flip() -> None:
    frontend = whole_release(20)
    client = new_client(Tally(), Random(1))
    go_round(client, lambda ask: frontend.serve(ask, None, names_missing=True))
    frontend.held[name(2)] = {**frontend.held[name(1)], "/A/7.js": b"changed", "/A/new.js": b"new"}
    frontend.current = name(2)
    asked, _ = go_round(client, lambda ask: frontend.serve(ask, None, names_missing=True))
    by_hash = [ask.url.partition("?")[0] for ask in asked if ask.want is Want.BY_HASH]
    assert sorted(by_hash[:2]) == ["/A/7.js", "/A/new.js"]
    assert 2 <= len(by_hash) <= 2 + MORE


def replaced(want: Want, answer: Answer | NoAnswer) -> tuple[Tally, list[Ask], bool]:
    """A round against a good frontend, in which every question of one kind gets this answer."""
    frontend = whole_release(3)
    tally = Tally()
    client = new_client(tally, Random(1))

    def respond(ask: Ask) -> Answer | NoAnswer:
        return answer if ask.want is want else frontend.serve(ask, None, names_missing=True)

    asked, whole = go_round(client, respond)
    return tally, asked, whole


ODD: list[tuple[Answer | NoAnswer, Kind]] = [
    (NoAnswer(Fault(Kind.TIMEOUT, "", "")), Kind.TIMEOUT),
    (NoAnswer(Fault(Kind.CONNECTION, "", "")), Kind.CONNECTION),
    (NoAnswer(Fault(Kind.OVERSIZE, "", "")), Kind.OVERSIZE),
    (Answer(500, b""), Kind.STATUS),
    (Answer(302, b"", location="/x"), Kind.REDIRECT),
]


@pytest.mark.parametrize("want", [want for want in Want if want is not Want.PRECACHE])
@pytest.mark.parametrize(("answer", "kind"), ODD)
def test_what_is_no_answer_is_an_error_ends_the_round_and_is_no_check(
    want: Want, answer: Answer | NoAnswer, kind: Kind
) -> None:
    tally, asked, whole = replaced(want, answer)
    assert dict(tally.kinds) == {kind: 1}
    assert not whole
    assert asked[-1].want is want
    assert tally.checks == len(asked) - 1


NAMED = [Want.VERSION, Want.DOCUMENT, Want.PART]


@pytest.mark.parametrize("want", NAMED)
def test_a_name_that_is_none_is_malformed(want: Want) -> None:
    tally, asked, whole = replaced(want, Answer(200, b"entry", "1-xyz"))
    assert (dict(tally.kinds), whole, asked[-1].want) == ({Kind.MALFORMED: 1}, False, want)


@pytest.mark.parametrize("want", [Want.VERSION, Want.MANIFEST])
def test_garbage_where_json_was_expected_is_malformed(want: Want) -> None:
    tally, asked, whole = replaced(want, Answer(200, b"<html>", str(name(1))))
    assert (dict(tally.kinds), whole, asked[-1].want) == ({Kind.MALFORMED: 1}, False, want)


def test_navigation_that_names_no_activation_is_an_error_and_files_are_still_checked() -> None:
    version = json.dumps({"versionToken": token(whole_release(3).held[name(1)])}).encode()
    tally, asked, _ = replaced(Want.VERSION, Answer(200, version))
    assert dict(tally.kinds) == {Kind.UNNAMED: 1}
    assert {ask.want for ask in asked} == {Want.VERSION, Want.MANIFEST, Want.BY_HASH}
    assert tally.checks == len(asked) - 1
    tally, _, _ = replaced(Want.DOCUMENT, Answer(200, b"entry"))
    assert dict(tally.kinds) == {Kind.UNNAMED: 1}


def test_a_manifest_of_another_token_is_torn_and_not_kept() -> None:
    other = Answer(200, module_info({ENTRY: b"other"}))
    tally, asked, whole = replaced(Want.MANIFEST, other)
    assert (dict(tally.kinds), whole) == ({Kind.OTHER_MANIFEST: 1}, False)
    assert [ask.want for ask in asked] == [Want.VERSION, Want.MANIFEST]


def test_a_missing_document_without_a_name_is_torn_once_the_next_check_names_the_same_activation() -> None:
    frontend = whole_release(3)
    tally = Tally()
    client = new_client(tally, Random(1))

    def answer(ask: Ask) -> Answer:
        return Answer(404, b"") if ask.want is Want.DOCUMENT else frontend.serve(ask, None, names_missing=True)

    go_round(client, answer)
    assert not tally.kinds
    go_round(client, answer)
    assert dict(tally.kinds) == {Kind.MISSING: 1}


def test_one_activation_with_two_tokens_is_mixed() -> None:
    frontend = whole_release(3)
    tally = Tally()
    client = new_client(tally, Random(1))
    go_round(client, lambda ask: frontend.serve(ask, None, names_missing=True))
    frontend.held[name(1)] = {ENTRY: b"other"}
    go_round(client, lambda ask: frontend.serve(ask, None, names_missing=True))
    assert dict(tally.kinds) == {Kind.MIXED: 1}


def test_a_rollback_brings_an_old_token_back_under_a_new_epoch() -> None:
    one, two = {ENTRY: b"one"}, {ENTRY: b"two"}
    frontend = Frontend({name(1): one, name(2): two, name(3): one}, name(1))
    tally = Tally()
    client = new_client(tally, Random(1))
    for epoch in (1, 2, 3):
        frontend.current = name(epoch)
        go_round(client, lambda ask: frontend.serve(ask, None, names_missing=True))
    assert tally.good
    assert tally.versions[token(one)].epochs == {1, 3}
