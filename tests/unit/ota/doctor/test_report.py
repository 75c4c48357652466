"""Who has what, side by side: readable for a thousand frontends, and whole as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from orchestrator.ota.doctor.examination import examine
from orchestrator.ota.doctor.look import Seen
from orchestrator.ota.doctor.observations import Asked, Standing
from orchestrator.ota.doctor.questions import Kind
from orchestrator.ota.doctor.report import MOST_SHOWN, document, rows, shown
from tests.unit.ota.doctor.scenes import (
    BEHIND,
    CHART,
    NEW_FILES,
    QUESTIONS,
    UNSEEN,
    WELL,
    Scene,
    damaged,
    named,
    of_bytes,
    old,
    question,
    right,
    silent,
)

THOUSAND = tuple(f"fe{n}" for n in range(1, 1_001))


def test_of_a_thousand_frontends_those_that_differ_are_shown_and_the_others_counted() -> None:
    scene = Scene(frontends=THOUSAND, answers={"fe500": old}, disks={"fe500": BEHIND, "fe900": UNSEEN})
    chosen, others = shown(rows(scene.observations())[1:])
    assert [row.where for row in chosen] == ["fe1", "fe500", "fe900"]
    assert others == 997


def test_where_very_many_differ_not_all_are_shown() -> None:
    behind = THOUSAND[:400]
    scene = Scene(frontends=THOUSAND, answers=dict.fromkeys(behind, old), disks=dict.fromkeys(behind, BEHIND))
    chosen, others = shown(rows(scene.observations())[1:])
    assert len(chosen) == MOST_SHOWN + 1
    assert len(chosen) + others == 1_000
    (finding,) = examine(scene.observations())
    assert finding.where == behind


def test_of_a_few_all_are_shown() -> None:
    chosen, others = shown(rows(Scene().observations())[1:])
    assert ([row.where for row in chosen], others) == (["fe1", "fe2", "fe3"], 0)


def test_a_row_says_what_is_known_and_what_is_not() -> None:
    scene = Scene(
        answers={"fe2": silent, "fe3": lambda q: of_bytes(right(q), b"bad") if q.path == "app.js" else right(q)},
        disks={"fe2": UNSEEN, "fe3": damaged("app.js", b"bad")},
        standings={"fe2": Standing.DRAINED},
    )
    address, first, second, third = (row.document() for row in rows(scene.observations()))
    asked = sum(bool(q.path) for q in QUESTIONS)
    assert address == {
        "served": str(named(2)),
        "token": CHART.release.token,
        "files": {"right": asked, "wrong": 0, "unanswered": 0},
    }
    assert first == {"frontend": "fe1", "rotation": "in rotation", "disk": str(named(2)), **address}
    assert (second["rotation"], second["disk"], second["served"], second["token"]) == ("drained", None, None, None)
    assert second["files"] == {"right": 0, "wrong": 0, "unanswered": asked}
    assert third["files"] == {"right": asked - 2, "wrong": 2, "unanswered": 0}


def test_the_four_values_of_a_file_stand_side_by_side() -> None:
    by = {q.kind: q for q in QUESTIONS if q.path == "app.js" or not q.path}
    ota = question(Kind.BY_HASH, "app.js").expected.ota
    tree = CHART.release.release_tree
    bad = replace(WELL, trees={tree.path: Seen("f" * 64, (f"f {'a' * 64} app.js",))})
    old_release = replace(BEHIND, trees={BEHIND.release: Seen("f" * 64, (f"f {'b' * 64} app.js",))})
    scene = Scene(
        asked=Asked("app.js", "app.js"),
        questions=list(by.values()),
        answers={
            "fe1": lambda q: replace(right(q), listed=ota or "") if q.kind is Kind.INFO else right(q),
            "fe2": silent,
        },
        disks={"fe2": bad, "fe3": old_release},
    )
    seen = scene.observations()
    _, first, second, third = (row.document()["file"] for row in rows(seen))
    assert first == {"moduleinfo": ota, "disk": ota, "by_hash": ota, "by_path": ota}
    assert second == {"moduleinfo": None, "disk": f"SHA-256 {'a' * 64}", "by_hash": None, "by_path": None}
    assert third["disk"] == f"SHA-256 {'b' * 64}"
    whole = document(seen, examine(seen), 1, len(NEW_FILES))
    assert whole["file"] == {"asked": "app.js", "path": "app.js", "manifest": ota}
    assert whole["verdict"] == "wrong"
    assert json.loads(json.dumps(whole)) == whole
