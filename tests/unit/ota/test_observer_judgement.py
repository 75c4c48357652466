from __future__ import annotations

from itertools import product

import pytest

from orchestrator.domain.activation import ActivationName
from orchestrator.ota.answers import Answer, ServedManifest
from orchestrator.ota.judgement import (
    Page,
    Waiting,
    judge_document,
    judge_file,
    judge_forward,
    judge_manifest,
    judge_manifest_status,
    judge_part,
    judge_status,
    judge_told,
    judge_waiting,
)
from orchestrator.ota.tally import Fault, Kind


def name(epoch: int) -> ActivationName:
    return ActivationName(epoch, f"{epoch:016x}")


GOOD = Answer(200, b"right")
BAD = Answer(200, b"wrong")
OTA = GOOD.ota
ANSWERS = {
    "good": GOOD,
    "bad": BAD,
    "empty": Answer(200, b""),
    "gone": Answer(404, b"right"),
    "gone for good": Answer(410, b""),
    "moved": Answer(302, b"", location="/elsewhere"),
    "forbidden": Answer(403, b"right"),
    "partial": Answer(206, b"right"),
    "unmodified": Answer(304, b""),
    "failed": Answer(503, b"right"),
}
#: What a listed file's answer is worth, by itself.
FILE = {
    "good": [],
    "bad": [Kind.OTHER_BYTES],
    "empty": [Kind.OTHER_BYTES],
    "gone": [Kind.MISSING],
    "gone for good": [Kind.MISSING],
    "moved": [Kind.REDIRECT],
    "forbidden": [Kind.STATUS],
    "partial": [Kind.STATUS],
    "unmodified": [Kind.STATUS],
    "failed": [Kind.STATUS],
}
SERVED = {"good", "bad", "empty"}
GONE = {"gone", "gone for good"}


def kinds(faults: tuple[Fault, ...]) -> list[Kind]:
    return [fault.kind for fault in faults]


@pytest.mark.parametrize("label", ANSWERS)
def test_a_listed_file_is_served_byte_for_byte_or_torn(label: str) -> None:
    assert kinds(judge_file(OTA, ANSWERS[label])) == FILE[label]


@pytest.mark.parametrize("label", ANSWERS)
def test_a_question_that_can_always_be_answered_is_answered_or_an_error(label: str) -> None:
    expected = [] if label in SERVED else [Kind.REDIRECT] if label == "moved" else [Kind.STATUS]
    assert kinds(judge_status(ANSWERS[label])) == expected


@pytest.mark.parametrize("label", ANSWERS)
def test_the_manifest_of_a_served_token_is_there_or_torn(label: str) -> None:
    expected = [Kind.NO_MANIFEST] if label in GONE else kinds(judge_status(ANSWERS[label]))
    assert kinds(judge_manifest_status("t", ANSWERS[label])) == expected


def test_the_manifest_of_a_token_is_not_anothers() -> None:
    assert kinds(judge_manifest("t", ServedManifest("t", {}, None))) == []
    assert kinds(judge_manifest("t", ServedManifest("u", {}, None))) == [Kind.OTHER_MANIFEST]


@pytest.mark.parametrize(("seen", "epoch"), list(product([None, 4, 5, 6], [None, 4, 5, 6])))
def test_navigation_never_goes_back(seen: int | None, epoch: int | None) -> None:
    named = None if epoch is None else name(epoch)
    back = [Kind.BACKWARD] if seen is not None and epoch is not None and epoch < seen else []
    expected = [Kind.UNNAMED] if epoch is None else back
    assert kinds(judge_forward(seen, named, GOOD)) == expected


def test_a_file_that_is_not_there_may_come_without_a_name_but_not_go_back() -> None:
    assert kinds(judge_forward(5, None, ANSWERS["gone"])) == []
    assert kinds(judge_forward(5, name(4), ANSWERS["gone"])) == [Kind.BACKWARD]


def test_an_activation_has_one_token() -> None:
    told = {name(1): "one", name(2): "two"}
    assert kinds(judge_told(told, name(1), "one")) == []
    assert kinds(judge_told(told, name(1), "two")) == [Kind.MIXED]
    assert kinds(judge_told(told, name(3), "one")) == []
    assert kinds(judge_told(told, ActivationName(1, "f" * 16), "two")) == []


@pytest.mark.parametrize(("label", "epoch"), list(product(ANSWERS, [None, 4, 5, 6])))
def test_a_part_is_the_pages_and_never_older(label: str, epoch: int | None) -> None:
    named = None if epoch is None else name(epoch)
    expected = FILE[label] + ([Kind.BACKWARD] if epoch == 4 else [])
    assert kinds(judge_part(Page(name(5), "five"), OTA, named, ANSWERS[label])) == expected


#: What the client knows of the activation that an answer names, the page being activation 5 with the token "five".
TOLD = {
    "nothing": {},
    "the page's release": {name(5): "five", name(4): "five", name(6): "five"},
    "another release": {name(5): "five", name(4): "four", name(6): "six"},
}


@pytest.mark.parametrize(("label", "epoch", "known"), list(product(ANSWERS, [None, 4, 5, 6], TOLD)))
def test_a_document_is_of_the_activation_that_it_names(label: str, epoch: int | None, known: str) -> None:
    page = Page(name(5), "five")
    verdict = judge_document(page, TOLD[known], OTA, None if epoch is None else name(epoch), ANSWERS[label])
    if label not in SERVED | GONE:
        expected: object = FILE[label]
    elif epoch is None:
        expected = name(5) if label in GONE else []
    elif epoch == 5 or known == "the page's release":
        expected = FILE[label]
    else:
        expected = name(epoch)
    assert (verdict if isinstance(verdict, ActivationName) else kinds(verdict)) == expected


def test_a_page_without_a_token_says_nothing_of_other_activations() -> None:
    assert judge_document(Page(name(5), None), {}, OTA, name(6), GOOD) == name(6)


@pytest.mark.parametrize(("label", "waits_for", "listed"), list(product(sorted(SERVED | GONE), [5, 6], [True, False])))
def test_a_document_that_waited_is_judged_by_its_own_release_alone(label: str, waits_for: int, listed: bool) -> None:
    manifest = ServedManifest("six", {"/A/index.html": OTA} if listed else {"/A/other.html": OTA}, None)
    waiting = Waiting("/A/index.html", ANSWERS[label], name(waits_for))
    faults = judge_waiting(waiting, Page(name(6), "six"), manifest)
    expected: object
    if waits_for != 6:
        expected = None
    elif listed:
        expected = FILE[label]
    else:
        expected = [] if label in GONE else None
    assert (None if faults is None else kinds(faults)) == expected
