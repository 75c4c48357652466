"""The short form of the fuzz, and that it finds what is broken, blames the right input and can do it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.findings import keep, read, replay
from tests.fuzz.preloaded import server_text
from tests.fuzz.runs import Crash, run
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from workers.frontend.script import script

HERE = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_input_comes_to_nothing_but_the_errors_that_are_documented(name: str) -> None:
    with TARGETS[name]() as target:
        tally = run(target, "short", range(target.short))
    assert not tally.crashes, "\n".join(crash.what for crash in tally.crashes[:3])
    # Else what is made would not come as far as what it is meant for.
    assert tally.accepted > target.short / 100
    assert tally.refused > target.short / 10


class Numbers(Target[int]):
    """Breaks at once at 13; at 20, and at 30 behind a 29, what is looked at after a batch."""

    name = "numbers"
    batch = 10

    def reset(self) -> None:
        self.seen: list[int] = []

    def make(self, random: Random) -> int:
        return random.randrange(10**6)

    def check(self, made: int) -> bool:
        self.seen.append(made % 100)
        assert made % 100 != 13
        return made % 2 == 0

    def settle(self) -> None:
        assert 20 not in self.seen
        assert not (30 in self.seen and 29 in self.seen[: self.seen.index(30)])


class Listed(Numbers):
    """The same, with inputs in a given order."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers

    def make(self, random: Random) -> int:
        return self._numbers[random.randrange(len(self._numbers))]


def found(target: Numbers, indexes: range = range(200)) -> list[Crash]:
    with target:
        return run(target, "1", indexes).crashes


def test_an_input_that_breaks_something_at_once_is_blamed() -> None:
    crashes = found(Listed(1, 2, 13))
    assert crashes
    assert {crash.inputs for crash in crashes} == {("13",)}


def test_an_input_that_breaks_what_is_looked_at_later_is_found_by_bisection() -> None:
    crashes = found(Listed(*range(1, 12), 20))
    assert crashes
    assert {crash.inputs for crash in crashes} == {("20",)}


def test_an_input_that_needs_another_one_before_it_is_blamed_with_it() -> None:
    crashes = found(Listed(1, 2, 29, 30))
    assert crashes
    for crash in crashes:
        assert crash.inputs[-1] == "30"
        assert "29" in crash.inputs


def test_the_same_seed_makes_the_same_inputs_and_another_seed_others() -> None:
    with Numbers() as target:
        first, again, other = (
            [crash.index for crash in run(target, seed, range(3000)).crashes] for seed in ("1", "1", "2")
        )
    assert first == again != other


def test_a_finding_is_kept_and_can_be_done_again(tmp_path: Path) -> None:
    inputs = (("activation", "7-0\n\udcff"), ("app", "x" * 70))
    path = keep(Crash("names", "1", 3, "one\ntwo", tuple(map(repr, inputs))), tmp_path / "new")
    assert read(path) == ("names", list(inputs))
    assert replay(path) is None


def test_a_script_of_another_shape_is_not_run_by_a_preloaded_shell() -> None:
    assert "trap finish EXIT" in server_text(script().decode())
    with pytest.raises(ValueError, match="another shape"):
        server_text("#!/bin/sh\necho OK\n")


# ── the command, and that it finds a check that is switched off ──


def fuzz(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *words],
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(where)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_figures_come_as_json(tmp_path: Path) -> None:
    done = fuzz(HERE, "--target", "names", "--inputs", "50", "--jobs", "1", "--json", "--failures", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["targets"]
    assert (row["target"], row["inputs"], row["findings"]) == ("names", 50, 0)
    assert not list(tmp_path.iterdir())


def test_what_is_no_file_of_a_finding_is_not_replayed(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1\n")
    done = fuzz(HERE, "--replay", str(tmp_path / "x"))
    assert done.returncode == 2
    assert "can't be replayed" in done.stderr


#: Target, inputs, file, what is replaced in it by what.
SWITCHED_OFF = {
    "the script's name pattern": (
        *("words", 60, "workers/frontend/remote/lockstep-frontend"),
        *('is_epoch "${1%%-*}" && is_hex 16 "${1#*-}"', ':; [ -n "${1#*-}" ]'),
    ),
    "a manifest's errors": ("manifests", 200, "orchestrator/domain/release.py", ", RecursionError)", ")"),
    "an answer's exit status": (
        "answers",
        500,
        "workers/frontend/answers.py",
        ' and status == STATUSES["OK"]:\n        return',
        ":\n        return",
    ),
}


@pytest.mark.parametrize("what", SWITCHED_OFF)
def test_a_check_that_is_switched_off_is_found_and_the_finding_can_be_done_again(what: str, tmp_path: Path) -> None:
    target, inputs, file, old, new = SWITCHED_OFF[what]
    for package in ("inventory", "orchestrator", "workers", "tests"):
        (tmp_path / package).symlink_to(HERE / package)
    _break(tmp_path, Path(file), old, new)
    words = ("--target", target, "--inputs", str(inputs), "--jobs", "1", "--failures", "kept")
    done = fuzz(tmp_path, *words)
    assert done.returncode == 1, done.stderr
    again = next(line for line in done.stderr.splitlines() if "again:" in line).split("--replay ")[1]
    assert fuzz(tmp_path, "--replay", again).returncode == 1
    assert fuzz(HERE, "--replay", str(tmp_path / again)).returncode == 0


def _break(top: Path, file: Path, old: str, new: str) -> None:
    """Make real directories and links down to the file, and the file another one."""
    place = top
    for part in file.parts[:-1]:
        place = place / part
        source = place.resolve()
        place.unlink()
        place.mkdir()
        for entry in source.iterdir():
            (place / entry.name).symlink_to(entry)
    text = (place / file.name).read_text()
    assert text.count(old) == 1, text.count(old)
    (place / file.name).unlink()
    (place / file.name).write_text(text.replace(old, new))
