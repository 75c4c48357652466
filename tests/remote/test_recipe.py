"""recipe: written, checked, loaded; and the last that passed is back where one fails or is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.remote.frontend import Frontend, snapshot
from tests.remote.shells import PATIENCE

GOOD, BETTER, BAD = b"# good\n", b"# good, too\n", b"# bad\n"


def recipe(frontend: Frontend) -> Path:
    return frontend.root / "state/nginx.conf"


def words(frontend: Frontend) -> list[str]:
    """A check that looks for a word in the recipe, and a reload that copies it."""
    return ["grep", "-q", "good", str(recipe(frontend)), "--", "cp", str(recipe(frontend)), str(loaded(frontend))]


def loaded(frontend: Frontend) -> Path:
    return frontend.root.parent / "loaded"


def test_a_recipe_that_passes_is_loaded_and_nothing_else_is_left(frontend: Frontend) -> None:
    for text in (GOOD, BETTER):
        assert frontend.run("recipe", *words(frontend), stdin=text).lines == ["OK"]
        assert recipe(frontend).read_bytes() == loaded(frontend).read_bytes() == text
        assert frontend.names("state") == {"fence", "lock", "nginx.conf"}


def test_one_that_fails_the_check_is_not_loaded_and_the_one_before_is_back(frontend: Frontend) -> None:
    before = snapshot(frontend.root)
    assert frontend.run("recipe", *words(frontend), stdin=BAD).verdict == "FAILED recipe"
    assert snapshot(frontend.root) == before
    assert frontend.run("recipe", *words(frontend), stdin=GOOD).verdict == "OK"
    assert frontend.run("recipe", *words(frontend), stdin=BAD).verdict == "FAILED recipe"
    assert recipe(frontend).read_bytes() == loaded(frontend).read_bytes() == GOOD
    assert frontend.names("state") == {"fence", "lock", "nginx.conf"}


def test_one_that_can_not_be_loaded_is_put_back_with_the_reason(frontend: Frontend) -> None:
    assert frontend.run("recipe", *words(frontend), stdin=GOOD).verdict == "OK"
    answer = frontend.run("recipe", "true", "--", "ls", "/nowhere/at/all", stdin=BETTER)
    assert answer.verdict == "FAILED recipe"
    assert "/nowhere/at/all" in answer.lines[0]
    assert recipe(frontend).read_bytes() == GOOD


def test_without_commands_it_is_only_written(frontend: Frontend) -> None:
    for end in ((), ("--",)):
        assert frontend.run("recipe", *end, stdin=GOOD).lines == ["OK"]
        assert recipe(frontend).read_bytes() == GOOD


def test_nothing_at_all_is_no_recipe(frontend: Frontend) -> None:
    assert frontend.run("recipe", stdin=GOOD).verdict == "OK"
    assert frontend.run("recipe", "true", "--", "true", stdin=b"").verdict == "FAILED recipe"
    assert recipe(frontend).read_bytes() == GOOD


WORDS = ["", "a b", "*", "$HOME", "$(id)", "`id`", ";", "&", "|", ">x", "a\n", "'", '"', "\\", "~", "#", "\u00e9"]


@pytest.mark.parametrize("word", WORDS)
def test_words_with_a_meaning_to_a_shell_are_refused(frontend: Frontend, word: str) -> None:
    before = snapshot(frontend.root)
    for line in ((word,), ("true", word), ("true", "--", word)):
        assert frontend.run("recipe", *line, stdin=GOOD).verdict == "REFUSED words"
    assert snapshot(frontend.root) == before


def test_killed_while_it_is_checked_the_one_before_is_back_at_once_or_at_the_next_failure(frontend: Frontend) -> None:
    fifo = frontend.root.parent / "fifo"
    os.mkfifo(fifo)
    for sent in (signal.SIGTERM, signal.SIGKILL):
        assert frontend.run("recipe", *words(frontend), stdin=GOOD).verdict == "OK"
        stuck = frontend.start("recipe", "cat", str(fifo))
        assert stuck.process.stdin is not None
        stuck.process.stdin.write(BETTER)
        stuck.process.stdin.close()
        with fifo.open("wb"):  # opens when the check does
            assert recipe(frontend).read_bytes() == BETTER
            os.killpg(stuck.process.pid, sent)
            assert stuck.process.wait(PATIENCE) == (143 if sent == signal.SIGTERM else -sent)
        assert stuck.rest(killed=True) == b""
        if sent == signal.SIGKILL:
            assert frontend.run("recipe", *words(frontend), stdin=BAD).verdict == "FAILED recipe"
        assert recipe(frontend).read_bytes() == GOOD
        assert "nginx.conf.before" not in frontend.names("state")


@pytest.mark.parametrize(("sent", "kept"), [(BETTER, BETTER), (BAD, GOOD)])
def test_an_answer_that_nobody_reads_takes_no_recipe_away(frontend: Frontend, sent: bytes, kept: bytes) -> None:
    assert frontend.run("recipe", *words(frontend), stdin=GOOD).verdict == "OK"
    unheard = frontend.start("recipe", *words(frontend))
    assert unheard.process.stdout is not None
    unheard.process.stdout.close()
    unheard.say_all(sent)
    unheard.process.wait(PATIENCE)
    assert recipe(frontend).read_bytes() == kept
    unheard.rest(killed=True)


def test_a_recipe_that_is_slow_to_come_holds_no_lock(frontend: Frontend) -> None:
    slow = frontend.start("recipe", *words(frontend))
    frontend.wait_for_scratch("nginx.conf")
    with frontend.locked():
        assert frontend.names("incoming")
    assert slow.finish(GOOD).lines == ["OK"]
    assert frontend.names("incoming") == set()


def test_what_the_reload_starts_does_not_hold_the_lock(frontend: Frontend) -> None:
    start = frontend.root.parent / "start"
    pid = frontend.root.parent / "pid"
    start.write_text(f"sleep {PATIENCE} >/dev/null 2>&1 &\necho $! >{pid}\n")
    assert frontend.run("recipe", "--", "sh", str(start), stdin=GOOD).verdict == "OK"
    with frontend.locked():
        os.kill(int(pid.read_text()), signal.SIGKILL)
