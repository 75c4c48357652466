from __future__ import annotations

import json

import pytest

from orchestrator.ota.tally import SAMPLES, VERSIONS, Count, Fault, Finding, Kind, Tally


def finding(kind: Kind, at: float = 0.0, found: str = "f") -> Finding:
    return Finding(Fault(kind, "e", found), "http://a/x", 3, at)


EXPECTED = {
    Kind.MISSING: Count.TORN,
    Kind.OTHER_BYTES: Count.TORN,
    Kind.NO_MANIFEST: Count.TORN,
    Kind.OTHER_MANIFEST: Count.TORN,
    Kind.MIXED: Count.TORN,
    Kind.BACKWARD: Count.BACKWARD,
    Kind.CONNECTION: Count.ERRORS,
    Kind.TIMEOUT: Count.ERRORS,
    Kind.STATUS: Count.ERRORS,
    Kind.REDIRECT: Count.ERRORS,
    Kind.MALFORMED: Count.ERRORS,
    Kind.OVERSIZE: Count.ERRORS,
    Kind.UNNAMED: Count.ERRORS,
}


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_is_counted_under_one_name(kind: Kind) -> None:
    tally = Tally(checks=1)
    tally.find(finding(kind))
    assert {count: tally.of(count) for count in Count} == {count: int(count is EXPECTED[kind]) for count in Count}
    assert tally.document()["kinds"] == {kind.value: 1}
    assert not tally.good


def test_no_checks_are_no_success() -> None:
    assert not Tally().good
    assert Tally(checks=1).good
    assert Tally(checks=1, unjudged=5, resent=5).good


def test_versions_are_in_the_order_in_which_they_were_seen() -> None:
    tally = Tally()
    for token, epoch, at in [("one", 1, 0.25), ("two", 2, 1.5), ("two", 2, 1.75), ("one", 3, 2.0), ("one", None, 2.5)]:
        tally.see(token, epoch, at)
    assert tally.document()["versions"] == [
        {"token": "one", "epochs": [1, 3], "first": 0.25, "last": 2.5, "count": 3},
        {"token": "two", "epochs": [2], "first": 1.5, "last": 1.75, "count": 2},
    ]
    assert tally.newest_epoch == 3
    assert Tally().newest_epoch is None


def test_every_kind_has_a_sample_however_many_there_are_of_another() -> None:
    tally = Tally()
    for number in range(1000):
        tally.find(finding(Kind.TIMEOUT, at=number))
    tally.find(finding(Kind.MISSING, at=2000.0))
    tally.find(finding(Kind.BACKWARD, at=1500.0))
    kinds = [sample.fault.kind for sample in tally.samples]
    assert len(kinds) == SAMPLES
    assert kinds == [Kind.TIMEOUT] * (SAMPLES - 2) + [Kind.BACKWARD, Kind.MISSING]
    assert tally.kinds[Kind.TIMEOUT] == 1000


def test_a_sample_says_all_that_is_known() -> None:
    tally = Tally()
    tally.find(finding(Kind.OTHER_BYTES, at=1.23456))
    assert tally.document()["samples"] == [
        {
            "count": "torn",
            "kind": "other-bytes",
            "url": "http://a/x",
            "expected": "e",
            "found": "f",
            "epoch": 3,
            "at": 1.235,
        }
    ]


def test_what_a_server_says_moves_no_cursor_and_fills_no_screen() -> None:
    tally = Tally()
    tally.find(finding(Kind.MALFORMED, found="\x1b[2J\x9b\n" + "x" * 10_000))
    sample = tally.samples[0].document()
    assert str(sample["found"]).isprintable()
    assert len(str(sample["found"])) <= 300


def test_a_server_that_invents_versions_does_not_fill_the_memory() -> None:
    tally = Tally()
    for number in range(VERSIONS + 5):
        tally.see(f"token{number}", number, 0.0)
        tally.see("token0", number, 0.0)
    assert len(tally.versions) == VERSIONS
    assert len(tally.versions["token0"].epochs) == VERSIONS


def test_the_document_is_json() -> None:
    tally = Tally(checks=3, seconds=1.23456)
    tally.find(finding(Kind.BACKWARD))
    tally.see("one", 1, 0.0)
    document = json.loads(json.dumps(tally.document()))
    assert (document["checks"], document["seconds"]) == (3, 1.235)
    assert (document["torn"], document["backward"], document["errors"]) == (0, 1, 0)
