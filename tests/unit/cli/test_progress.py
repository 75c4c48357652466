"""What the commands say of a deployment, and the exit code that goes with it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from orchestrator.cli.output import Exit
from orchestrator.cli.progress import Story, last_word, outcome, report_line
from orchestrator.domain.activation import ActivationName, Placement
from orchestrator.domain.deployment import Decision, Deployment, Kind, Outcome, Plan, Report, State, Step, Trouble

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
PROBLEM = {"what": "the disk is full", "where": "fe2", "expected": "room", "found": "none", "remedy": "make room"}


def deployment(
    state: State, decision: Decision | None = None, troubles: Sequence[Trouble] = (), hold: bool = False
) -> Deployment:
    plan = Plan(
        "Production/web",
        Kind.DEPLOY,
        {"ToDo": "2.0.0"},
        (Placement("ToDo", "/ToDo/", "2.0.0", "a" * 64),),
        ("fe1", "fe2"),
        {},
        "ann@ops",
        hold=hold,
        expires_at=NOW + timedelta(hours=96) if hold else None,
    )
    return Deployment(7, plan, ActivationName(3, "0" * 16), state, decision, NOW, troubles=tuple(troubles))


TROUBLE = Trouble("stage", "fe2", PROBLEM)

CODES = [
    (deployment(State.DONE, Decision.COMMIT), Exit.DONE),
    (deployment(State.ABORTED, Decision.ABORT, [TROUBLE]), Exit.ABORTED),
    (deployment(State.PREPARED, hold=True), Exit.DONE),
    (deployment(State.PREPARED), None),
    (deployment(State.PLANNED), None),
    (deployment(State.STAGING), None),
    (deployment(State.VERIFYING, hold=True), None),
    (deployment(State.ARMING), None),
    (deployment(State.ABORTING, Decision.ABORT, [TROUBLE]), None),
    (deployment(State.ACTIVATING, Decision.COMMIT), None),
    (deployment(State.ACTIVATING, Decision.COMMIT, [TROUBLE]), Exit.OPEN),
    (deployment(State.FINISHING, Decision.COMMIT), None),
    (deployment(State.FINISHING, Decision.COMMIT, [TROUBLE]), Exit.OPEN),
]


@pytest.mark.parametrize(("row", "code"), CODES, ids=[f"{d.state}-{c}" for d, c in CODES])
def test_a_deployment_that_rests_has_a_code_and_one_that_goes_on_has_none(row: Deployment, code: Exit | None) -> None:
    assert outcome(row) is code


def words(row: Deployment, before: int | None = 2) -> str:
    return "\n".join(line.plain for line in last_word(row, before))


def test_done_names_the_epoch_the_apps_and_the_skew() -> None:
    text = words(replace(deployment(State.DONE, Decision.COMMIT), skew=0.0042))
    assert text == "done: Production/web serves epoch 3 (ToDo 2.0.0) on 2 frontends, flipped within 4.2 ms"


def test_aborted_says_that_nothing_changed_and_why_where_and_what_to_do() -> None:
    text = words(deployment(State.ABORTED, Decision.ABORT, [TROUBLE]))
    assert "nothing was changed, every frontend still serves epoch 2" in text
    for word in ("stage", *PROBLEM.values()):
        assert word in text


def test_aborted_before_anything_was_served_says_so() -> None:
    assert "nothing is served yet" in words(deployment(State.ABORTED, Decision.ABORT), None)


def test_prepared_names_both_ways_on() -> None:
    text = words(deployment(State.PREPARED, hold=True))
    assert "lockstep continue 7" in text
    assert "lockstep abort 7" in text
    assert "until 2026-05-05 12:00 UTC" in text
    assert "somebody else" not in text


def test_prepared_says_that_somebody_else_has_to_go_on_where_four_eyes_are_asked_for() -> None:
    row = deployment(State.PREPARED, hold=True)
    row = replace(row, plan=replace(row.plan, snapshot={"four_eyes": True}))
    assert "go on, by somebody else than ann@ops: lockstep continue 7" in words(row)


def test_open_never_says_done_or_aborted() -> None:
    text = words(deployment(State.ACTIVATING, Decision.COMMIT, [TROUBLE]))
    assert text.startswith("open: epoch 3 is committed")
    assert "lockstep continue 7" in text
    assert "the disk is full" in text


DETAILS: dict[Step, dict[str, object]] = {
    Step.STAGE: {"objects": 3, "bytes": 100, "seconds": 0.5},
    Step.VERIFY: {"files": 7, "seconds": 0.25},
    Step.ARM: {"seconds": 0.01},
    Step.ACTIVATE: {"at": 1.0},
    Step.CONFIRM: {"activation": "3-" + "0" * 16},
    Step.DISARM: {},
    Step.DRAIN: {"drain": 3, "by": "haproxy at unix:///run/haproxy/admin.sock"},
    Step.READMIT: {"by": "its health answer"},
}


@pytest.mark.parametrize("step", list(Step))
@pytest.mark.parametrize("result", list(Outcome))
def test_every_report_is_one_line_that_names_frontend_step_and_outcome(step: Step, result: Outcome) -> None:
    accepted = result is Outcome.ACCEPTED
    report = Report("fe2", step, 2, result, DETAILS[step] if accepted else {}, {} if accepted else PROBLEM)
    line = report_line(report)
    assert line.startswith(f"fe2: {step} (attempt 2) ")
    assert "\n" not in line
    expected = {Outcome.ACCEPTED: "done", Outcome.REFUSED: "refused", Outcome.UNKNOWN: "outcome unknown"}
    assert expected[result] in line
    assert accepted or "the disk is full" in line


def shown(story: Story) -> str:
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as capture:
        console.print(story.table())
    return capture.get()


def answered(name: str, step: Step, result: Outcome = Outcome.ACCEPTED) -> dict[tuple[str, Step], Report]:
    return {(name, step): Report(name, step, 1, result)}


def test_a_small_fleet_has_a_row_for_each_frontend() -> None:
    text = shown(Story(deployment(State.STAGING), answered("fe1", Step.STAGE)))
    assert [line.split()[:2] for line in text.splitlines()[2:]] == [["fe1", "✓"], ["fe2", "·"]]


def test_a_large_fleet_is_counted_and_only_who_has_a_trouble_has_a_row() -> None:
    row = deployment(State.VERIFYING)
    names = tuple(f"fe{number}" for number in range(1000))
    cells: dict[tuple[str, Step], Report] = {}
    for name in names:
        cells |= answered(name, Step.STAGE)
    cells |= answered("fe7", Step.VERIFY, Outcome.REFUSED)
    text = shown(Story(replace(row, plan=replace(row.plan, frontends=names)), cells))
    lines = [line.split() for line in text.splitlines()]
    assert ["stage", "1000", "0", "0", "1000"] in lines
    assert ["verify", "0", "1", "0", "1000"] in lines
    assert [words[0] for words in lines if words[0].startswith("fe")] == ["fe7"]
