"""The goals, held against figures that are made up; and the tables that show them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import figures, tables
from tests.bench.__main__ import main
from tests.bench.figures import CHANGED, FULL, LOCKSTEP, UNCHANGED, Figures, Results
from tests.bench.goals import goals

OURS = Figures(
    tool=LOCKSTEP,
    frontends=64,
    release=FULL,
    release_bytes=20_000_000,
    wall_s=6.0,
    cpu_all_s=10.0,
    cpu_controller_s=2.0,
    background=0.1,
    sent_bytes=30_000_000,
    sent_ssh_bytes=30_000_000,
    skew_ms=4.0,
    flipped=64,
    at_once=True,
    reported_skew_ms=3.0,
    pages=100,
    torn=0,
    backward=0,
    errors=0,
    wrong_files=0,
    build_s=1.0,
    rest_kb=100_000,
    peak_kb=132_000,
)
THEIRS = replace(OURS, tool="rsync", wall_s=12.0, cpu_all_s=30.0, skew_ms=400.0, torn=5, reported_skew_ms=None)


def verdicts(*measured: Figures, growth: float | None = None) -> dict[str, str]:
    return {goal.name: goal.verdict for goal in goals(Results(measured), 64, growth)}


def test_goals_are_met_missed_or_not_measured() -> None:
    found = verdicts(
        OURS,
        THEIRS,
        replace(OURS, release=CHANGED, wall_s=4.0, skew_ms=10.0),
        replace(THEIRS, release=CHANGED, wall_s=5.0),
        replace(OURS, release=UNCHANGED, cpu_all_s=64 * 0.05, torn=1),
    )
    assert found["full push, wall, over the fastest peer's (rsync)"] == "met"
    assert found["5 % changed, wall, over rsync's"] == "met"
    assert found["5 % changed, CPU of everything, over pyinfra's"] == "not measured"
    assert found["full push, bytes out of the controller, over the release's"] == "met"
    assert found["nothing changed, CPU of everything, each frontend"] == "met"
    assert found["memory of the coordinator, each armed frontend"] == "met"
    assert found["skew of the flip, 64 frontends"] == "missed by 25 %"
    assert found["skew of the flip, 4 frontends"] == "not measured"
    assert found["skew of the flip, over the best peer's (rsync)"] == "met"
    assert found["torn, all fleets"] == "missed by 1"
    assert found["backward, all fleets"] == "met"
    assert found["time a frontend, 1,000 of them over 64"] == "not measured"


def test_growth_is_of_the_time_a_frontend() -> None:
    assert verdicts(OURS, growth=1.2)["time a frontend, 1,000 of them over 64"] == "met"
    assert verdicts(OURS, growth=2.6)["time a frontend, 1,000 of them over 64"] == "missed by 100 %"


def test_of_repeats_the_median_is_told_and_every_fault() -> None:
    repeats = Results(replace(OURS, wall_s=wall, torn=torn) for wall, torn in ((9.0, 0), (3.0, 2), (5.0, 0)))
    assert repeats.number(LOCKSTEP, 64, FULL, "wall_s") == 5.0
    assert repeats.number(LOCKSTEP, 64, FULL, "torn") == 2


def test_a_file_holds_runs_and_the_last_one_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.jsonl"
    figures.append(file, "one", THEIRS)
    figures.append(file, "two", OURS)
    figures.append(file, "two", THEIRS)
    assert figures.read(file) == [OURS, THEIRS]
    assert main(["--tables", str(file)]) == 0
    assert "goals, at 64 frontends" in capsys.readouterr().out


def test_tables_say_what_was_not_measured_and_what_went_wrong() -> None:
    results = Results([OURS, replace(THEIRS, sent_bytes=None, at_once=False, flipped=63, wrong_files=7)])
    assert "rsync" in tables.figures_table(results)
    notes = tables.notes(results)
    assert "needs root and nft" in notes
    assert "SCHED_FIFO" in notes
    assert "a flip was seen on 63 of them" in notes
    assert "500 kB each frontend" in notes
    assert "7 WRONG FILES" in tables.line(replace(THEIRS, wrong_files=7))
    assert "0.500" in tables.ratios_table(results)
    assert "missed by" in tables.goals_table(goals(Results([OURS, replace(THEIRS, wall_s=7.0)]), 64))
