"""What a worker saw on a frontend's disk, as the doctor reads it; what is made of it; and a worker's errand."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

from orchestrator.domain.errors import UnansweredError, UsageError
from orchestrator.ota.doctor.examination import examine
from orchestrator.ota.doctor.look import Errand, Look, Seen, Unseen, answer, read_answer
from orchestrator.ota.doctor.observations import Asked
from orchestrator.ota.doctor.report import document, rows
from tests.fuzz.mutation import CONFUSABLES, NOT_UTF8, ODD_PATHS, mutate_bytes, pick
from tests.fuzz.target import Target
from tests.unit.ota.doctor.scenes import BEHIND, CHART, UNSEEN, WELL, Scene, damaged

ERRAND = Errand("0123456789abcdef" * 2, 7, "fe1", "ToDo", frozenset({"a" * 64}), "app.js", 30.0)
_TREE = CHART.release.release_tree
_LISTED = replace(WELL, trees={**WELL.trees, _TREE.path: Seen("f" * 64, tuple(_TREE.listing()))})
_SAMPLES = (
    *(answer("fe1", seen) for seen in (WELL, BEHIND, _LISTED, damaged("app.js", b"bad"), damaged("app.js", None))),
    answer("fe1", UNSEEN),
    json.dumps(ERRAND.words()).encode(),
)
_PIECES = (
    *(
        b'"lines":null',
        b'"lines":[]',
        b'"trees":{}',
        b'"release":""',
        b'"problem":',
        b'"fe2"',
        b"\\u001b[2J",
        b"\\udcff",
    ),
    *(b'"o ? x"', b'"l ../../x y"', b"f ", b"  ", _TREE.path.encode(), b"activations/", b"true", b"null", b"1e999"),
    *(json.dumps(path).encode() for path in ODD_PATHS[:30]),
    *(json.dumps(letter).encode()[1:-1] for letter in CONFUSABLES),
    *NOT_UTF8,
)


class LookAnswers(Target[bytes]):
    """The body of an answer, or of an errand."""

    name = "looks"
    short = 1000

    def make(self, random: Random) -> bytes:
        body = pick(random, _SAMPLES)
        return mutate_bytes(random, body, _PIECES) if random.random() < 0.9 else body

    def check(self, made: bytes) -> bool:
        return _check_answer(made) or _check_errand(made)


def _check_answer(made: bytes) -> bool:
    try:
        name, seen = read_answer(made)
    except UnansweredError as error:
        assert len(str(error)) < 2000
        return False
    # What counts comes out as it went in, and whatever it says, the doctor can tell of it.
    assert read_answer(answer(name, seen)) == (name, seen)
    for asked in (None, Asked("app.js", "app.js")):
        _check_told(seen, asked)
    return True


def _check_told(seen: Look | Unseen, asked: Asked | None) -> None:
    scene = Scene(disks={"fe1": seen}, asked=asked)
    observations = scene.observations()
    findings = examine(observations)
    for finding in findings:
        for text in (finding.what, finding.expected, finding.found, finding.remedy):
            assert text.isprintable(), text
    for row in rows(observations):
        assert row.disk.isprintable()
        assert row.file is None or row.file.disk.isprintable()
    json.dumps(document(observations, findings, 1, 3), ensure_ascii=False).encode()


def _check_errand(made: bytes) -> bool:
    try:
        words = json.loads(made)
    except (ValueError, RecursionError):
        return False
    if not isinstance(words, list):
        return False
    try:
        errand = Errand.read(words)
    except UsageError as error:
        assert len(str(error)) < 2000
        return False
    assert Errand.read(errand.words()) == errand
    return True
