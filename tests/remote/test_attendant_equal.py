"""The script and the attendant: whatever is asked, they answer the same and leave the same tree."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.remote.attended import Attendant
from tests.remote.frontend import Frontend, check_tree, remove, snapshot
from tests.remote.fuzz import FUZZ
from tests.remote.hostile import NOT_LINKS, NOT_OBJECTS
from tests.remote.packs import FILES, Member, Stage, activation_name, content_member, sha256, tar
from tests.remote.shells import Answer, Shell, attendant
from tests.remote.test_words import BAD_ACTIVATIONS, BAD_LINES, BAD_RELEASES

STAGES = (Stage(1), Stage(2, {**FILES, "more": b"more"}), Stage(3, {"index.html": b"3"}))
KEPT = "0123456789abcdef" * 2
#: Of `probe`: what no two frontends have in common.
OWN = ("clock ", "free ", "script ")


class Step(NamedTuple):
    """One command."""

    words: tuple[str, ...]
    stdin: bytes = b""
    #: What a hostile pack fails for depends on what looks at it first.
    hostile: bool = False


def _fits_a_line(word: object) -> bool:
    return isinstance(word, str) and word.isascii() and word.isprintable() and " " not in word and 0 < len(word) < 1000


stages = st.sampled_from(STAGES)
activations = st.one_of(
    st.sampled_from([activation_name(epoch) for epoch in range(5)]),
    st.sampled_from([word for word in BAD_ACTIVATIONS if isinstance(word, str) and _fits_a_line(word)]),
)
releases = st.one_of(
    stages.map(lambda stage: stage.release), st.sampled_from([word for word in BAD_RELEASES if _fits_a_line(word)])
)


def _received(stage: Stage, form: str, few: bool) -> Step:
    raw = tar(map(content_member, stage.contents[few:]))
    pack = raw if form.endswith("tar") else gzip.compress(raw, 1)
    return Step(("receive", stage.activation, *([form] if form else [])), pack)


def _of_words(name: str, more: list[str]) -> Step:
    return Step(("receive", name, *more))


def _hostile(command: str, stage: Stage, bad: Member) -> Step:
    members = [*map(content_member, stage.contents)] if command == "receive" else stage.members()
    return Step((command, stage.activation), gzip.compress(tar([*members, bad]), 1), hostile=True)


def _cut(step: Step, at: float) -> Step:
    return Step(step.words, step.stdin[: int(len(step.stdin) * at)])


def _wanted(stage: Stage, files: int, odd: str) -> Step:
    lines = [*stage.object_lines.decode().split("\n")[:3], f"{stage.release} {files}", *([odd] if odd else [])]
    return Step(("probe",), "".join(f"{line}\n" for line in lines if line).encode())


forms = st.sampled_from(["", "tgz", "tar", f"{KEPT}.tgz", f"{KEPT}.tar"])
good = st.one_of(
    st.builds(_received, stages, forms, st.booleans()),
    stages.map(lambda stage: Step(("assemble", stage.activation), stage.links_pack())),
)
steps = st.one_of(
    good,
    good,
    st.builds(_cut, good, st.sampled_from([0.0, 0.3, 0.9])),
    st.builds(_of_words, activations, st.lists(st.sampled_from(["tar", "zip", "1", "-", f"{KEPT}.tar"]), max_size=6)),
    # An owner that passes for something else does so in a listing alone, which the attendant makes none of.
    st.builds(_hostile, st.just("receive"), stages, st.sampled_from([bad for bad in NOT_OBJECTS if not bad.owner])),
    st.builds(_hostile, st.just("assemble"), stages, st.sampled_from(NOT_LINKS)),
    st.builds(lambda name, more: Step(("verify", name, *more)), activations, st.lists(releases, max_size=2)),
    st.builds(_wanted, stages, st.integers(0, 7), st.sampled_from(["", "", "", *BAD_LINES])),
    st.builds(lambda name: Step(("arm", name), f"GO {name}\n".encode()), activations),
    st.builds(lambda name: Step(("arm", name), b"CLOCKS\n"), activations),
    st.just(Step(("init",))),
    st.builds(
        lambda command, name: Step((command, name)), st.sampled_from(["activate", "disarm", "discard"]), activations
    ),
)


def _told(answer: Answer, *, hostile: bool) -> list[str]:
    """What both should say: of a failure its code, of a flip that it took place."""
    lines = [line for line in answer.lines if not line.startswith(OWN)]
    said = [line.rpartition(" ")[0] if line.startswith("ACTIVE ") else line for line in lines]
    if answer.exit == 11:
        said[-1] = "FAILED" if hostile else answer.verdict
    return said


def _left(root: Path) -> object:
    """The tree, without the times of what is made anew each time; and which names share an inode."""
    tree = {
        path: (*rest, *(detail[:1] if isinstance(detail, tuple) and not path.startswith("objects/") else [detail]))
        for path, (*rest, detail) in snapshot(root).items()
    }
    inodes: dict[int, set[str]] = {}
    for directory, _, files in os.walk(root):
        for path in (Path(directory, name) for name in files):
            inodes.setdefault(path.lstat().st_ino, set()).add(str(path.relative_to(root)))
    return tree, sorted(map(sorted, inodes.values()))


class Pair:
    """A frontend whose commands are the script's, and one with an attendant for as long as that stands."""

    def __init__(self, script: Frontend, attended: Frontend) -> None:
        self.script, self.attended = script, attended
        self._attendant: Attendant | None = None

    def do(self, step: Step) -> tuple[list[str], list[str]]:
        plain = self.script.run(*step.words, stdin=step.stdin)
        if not self.attended.shell.attends(step.words):
            other = self.attended.run(*step.words, stdin=step.stdin)
        else:
            self._attendant = self._attendant or Attendant(self.attended)
            other = self._attendant.do(*step.words, stdin=step.stdin)
            if step.words[0] == "arm":
                # What came behind a refusal would be the next line.
                self.end()
        return _told(plain, hostile=step.hostile), _told(other, hostile=step.hostile)

    def end(self) -> None:
        """Have the next command be another attendant's."""
        if self._attendant is not None:
            self._attendant.end()
            self._attendant = None


@settings(FUZZ, max_examples=max(1, FUZZ.max_examples // 2))
@given(asked=st.lists(steps, min_size=1, max_size=12))
def test_the_same_commands_have_the_same_answers_and_leave_the_same_tree(
    all_shells: dict[str, Shell], ground: Path, asked: Sequence[Step]
) -> None:
    made = [
        Frontend(shell, ground / shell.name) for shell in (all_shells["dash"], attendant(all_shells["dash"].script))
    ]
    for frontend in made:
        if frontend.root.exists():
            remove(frontend.root)
        frontend.make()
    pair = Pair(*made)
    try:
        for step in asked:
            plain, other = pair.do(step)
            assert plain == other, step.words
            assert _left(pair.script.root) == _left(pair.attended.root), step.words
            check_tree(pair.attended.root)
    finally:
        pair.end()


def test_all_that_is_refused_and_all_that_fails_one_after_the_other(all_shells: dict[str, Shell], ground: Path) -> None:
    """Each hostile member once, on top of what is good, in one process."""
    made = [
        Frontend(shell, ground / shell.name) for shell in (all_shells["dash"], attendant(all_shells["dash"].script))
    ]
    for frontend in made:
        frontend.make()
        frontend.stage(STAGES[0])
    pair = Pair(*made)
    bad = [_hostile("receive", STAGES[1], each) for each in NOT_OBJECTS[::4]]
    bad += [_hostile("assemble", STAGES[0], each) for each in NOT_LINKS[::8]]
    for step in bad:
        plain, other = pair.do(step)
        assert plain == other == ["FAILED"], step.words
    assert _left(pair.script.root) == _left(pair.attended.root)
    pair.end()
    assert sha256(STAGES[0].document) in pair.attended.names("objects")
