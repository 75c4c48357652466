"""The rules of a frontend and the words of arm's conversation: the real script against a model of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

from tests.fuzz.mutation import mutate_bytes, pick
from tests.fuzz.scripts import SHELLS, Scripts
from tests.remote.packs import activation_name
from tests.remote.test_rules import MODEL, State
from workers.frontend.commands import Probe

#: What state/drained and state/readmitted hold (None: it is not there).
Drains = tuple[bytes | None, bytes | None]
#: Fence, current, staged, armed, drains.
Standing = tuple[int, int, tuple[int, ...], tuple[int, ...], Drains]
#: Shell, how the frontend stands, command, epoch, whether by its right nonce, more words, standard input.
Step = tuple[str, Standing, str, int, bool, tuple[str, ...], bytes]

_COMMANDS = ("arm", "arm", "arm", "activate", "disarm", "discard", "drain", "drain", "readmit", "readmit", "prune")
_NUMBERS = ("1", "2", "3", "10", "99999", "100000", "4294967296", "9999999999")
_DRAINS = (
    None,
    None,
    b"1\n",
    b"3\n",
    b"10\n",
    b"100000\n",
    b"4294967296\n",
    b"9999999999\n",
    b"",
    b"x\n",
    b"2",
    b"02",
)
_EPOCH = re.compile(rb"0|[1-9][0-9]{0,9}")
_DAY = "86400"


class Rules(Scripts[Step]):
    """One command to a frontend in some state."""

    name = "rules"
    batch = 50
    short = 300

    def make(self, random: Random) -> Step:
        shell = pick(random, SHELLS)
        standing = _standing(random)
        epoch, right = random.choice((*range(7), 6, 9999999999)), random.random() < 0.9
        if random.random() < 0.03:
            return shell, standing, "probe", 0, True, (), b""
        command = pick(random, _COMMANDS)
        more: tuple[str, ...] = ()
        if command in ("drain", "readmit"):
            more = (pick(random, _NUMBERS),)
        elif command == "prune":
            names = [_name(random.randrange(7), random.random() < 0.9) for _ in range(random.randrange(4))]
            more = (pick(random, ("0", "0", _DAY)), *names)
        return shell, standing, command, epoch, right, more, _heard(random, epoch) if command == "arm" else b""

    def restore(self) -> None:
        """Each input has its own state."""

    def check(self, made: Step) -> bool:
        shell, standing, command, epoch, right, more, stdin = made
        state, drains = _placed(self, standing)
        name = _name(epoch, right)
        words = () if command == "probe" else (name, *more)
        answer = self.ground.run(shell, None, (command.encode(), *(word.encode() for word in words)), stdin)
        if command == "probe":
            _check_probe(answer.lines, state, drains[0])
            after, left = state, drains
        else:
            after, left, lines = expected(state, drains, command, epoch, right, more, stdin)
            said = [" ".join(line.split(" ")[:2]) for line in answer.lines]
            assert said == lines, (said, lines)
        after.check(self.ground.frontend)
        kept = tuple(file.read_bytes() if file.exists() else None for file in _files(self))
        assert kept == left, (kept, left)
        return answer.exit == 0


def _standing(random: Random) -> Standing:
    current = random.randrange(5)
    fence = max(current, random.randrange(6))
    staged = {epoch for epoch in range(1, 7) if random.random() < 0.5} | {current}
    armed = (fence,) if fence > current and random.random() < 0.6 else ()
    return fence, current, tuple(sorted(staged | set(armed))), armed, (pick(random, _DRAINS), pick(random, _DRAINS))


def _heard(random: Random, epoch: int) -> bytes:
    """What an armed frontend hears."""
    word = f"GO {activation_name(epoch)}\n".encode()
    match random.randrange(8):
        case 0 | 1:
            return word
        case 2:
            return pick(random, (b"", b"\n", word[:-1], word[3:], b" " + word, word[:-1] + b" \n", word.lower()))
        case 3:
            return f"GO {activation_name(random.randrange(7))}\n".encode()
        case 4:
            return pick(random, (word + word, b"\n" + word, b"STOP\n" + word, word + b"STOP\n", word[:-1] + b"\r\n"))
        case _:
            return mutate_bytes(random, word)


def _name(epoch: int, right: bool) -> str:
    return activation_name(epoch) if right else f"{epoch}-{'f' * 16}"


def _files(target: Rules) -> tuple[Path, Path]:
    return target.ground.root / "state/drained", target.ground.root / "state/readmitted"


def _placed(target: Rules, standing: Standing) -> tuple[State, Drains]:
    fence, current, staged, armed, drains = standing
    state = State(fence, current, frozenset(staged), frozenset(armed))
    state.place(target.ground.frontend)
    for file, content in zip(_files(target), drains, strict=True):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
    return state, drains


def _number(content: bytes | None) -> int:
    """A drain's number as the script reads it: 0 where there is none."""
    first = (content or b"").split(b"\n")[0]
    return int(first) if _EPOCH.fullmatch(first) else 0


def expected(
    state: State, drains: Drains, command: str, epoch: int, right: bool, more: tuple[str, ...], stdin: bytes
) -> tuple[State, Drains, list[str]]:
    """How the frontend must stand afterwards, and what it must say."""
    if command == "drain":
        left, lines = (drains, ["REFUSED fenced"]) if epoch < state.fence else _drained(drains, more[0])
        return state, left, lines
    if command == "readmit":
        served = (epoch, right) == (state.current, True)
        left, lines = _readmitted(drains, more[0]) if served else (drains, ["REFUSED current"])
        return state, left, lines
    if command == "prune":
        after, lines = _pruned(state, epoch, more)
        return after, drains, lines
    known = state if right else replace(state, staged=state.staged - {epoch})
    if command == "discard" and not right:
        return state, drains, ["OK"]
    after, lines = MODEL[command](known, epoch)
    if not right:
        after = replace(after, staged=state.staged)
    if lines[0].startswith("ARMED") and not stdin.replace(b"\0", b"").startswith(
        f"GO {activation_name(epoch)}\n".encode()
    ):
        return state.raised(epoch), drains, [lines[0], "STOODDOWN", "OK"]
    return after, drains, lines


def _drained(drains: Drains, number: str) -> tuple[Drains, list[str]]:
    """No number below that of the mark, and none up to the last that was ended here."""
    mark, ended = drains
    if int(number) < _number(mark) or int(number) <= _number(ended):
        return drains, ["REFUSED drained"]
    return (f"{number}\n".encode() if int(number) > _number(mark) else mark, ended), ["OK"]


def _readmitted(drains: Drains, number: str) -> tuple[Drains, list[str]]:
    """The mark goes, and its number is kept as the last that was ended; not where a later one came, or has ended."""
    mark, ended = drains
    if int(number) < max(_number(mark), _number(ended)):
        return drains, ["REFUSED drained"]
    return (None, f"{number}\n".encode() if int(number) > _number(ended) else ended), ["OK"]


def _pruned(state: State, epoch: int, more: tuple[str, ...]) -> tuple[State, list[str]]:
    if epoch < state.fence:
        return state, ["REFUSED fenced"]
    epochs = {name: int(name.partition("-")[0]) for name in more[1:]}
    if any(one >= state.current for one in epochs.values()):
        return state, ["REFUSED current"]
    there = {one for name, one in epochs.items() if name == activation_name(one) and one in state.staged}
    if there and more[0] == _DAY:
        return state, ["REFUSED recent"]
    said = ["pruned activations", "pruned releases", "pruned objects", "OK"]
    return replace(state, staged=state.staged - there), said


def _check_probe(lines: list[str], state: State, drained: bytes | None) -> None:
    probed = Probe("/r").parse("".join(f"{line}\n" for line in lines).encode(), 0)
    said = (probed.fence, str(probed.current), probed.drained, probed.drain)
    assert said == (state.fence, activation_name(state.current), drained is not None, _number(drained))
    staged: Mapping[str, int] = {activation_name(epoch): epoch for epoch in state.staged}
    assert probed.activations == staged.keys()
    assert probed.ahead == {name for name, epoch in staged.items() if epoch > state.current}
