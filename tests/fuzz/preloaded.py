"""A shell that has read the script's functions once, and runs its last part in a subshell for each command.

That is the same text in the same shell with the same commands, without a new process and a new reading of it for each
input: a bad word costs a third of a millisecond instead of two. What differs is `$$`, which is no longer new each time.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.remote.shells import Answer, Shell, answer_of
from workers.frontend.script import END_OF_SHELL

#: Where the functions end, and what is done begins.
BEGINS = "[ $# -ge 2 ] || refuse words"
#: What leaves of `receive` and `assemble` no more than how the tools look a pack over: it lies there unpacked, and
#: nothing is made of it. What passes goes on to `unpack`, and fails there.
VETTING = b"""
make_scratch() { S=$ask; }
finish() { :; }
stageable() { :; }
spool() { :; }
take_pack() { :; }
unzip_pack() { :; }
clear_scratch() { :; }
mkdir() { :; }
ln() { :; }
fail() { say "FAILED $*"; exit 11; }
unpack() { return 1; }
"""
#: What a pack that passes makes of it.
PASSED = "FAILED io"
_TRAP = re.compile(r"^trap .*$", re.MULTILINE)


def server_text(script: str) -> str:
    """The program of such a shell. It runs one command for each line that it reads."""
    functions, begins, rest = script.rpartition(END_OF_SHELL.decode() + "#!")[0].partition(f"\n{BEGINS}")
    # A subshell has none of its parent's traps.
    traps = "\n".join(_TRAP.findall(functions))
    if not begins or "trap finish EXIT" not in traps:
        raise ValueError("the script has another shape than this knows")
    return (
        f"{functions}\ntrap - EXIT HUP INT PIPE TERM\nask=$1\n"
        f"while read -r go; do (\n. $ask/words\n{traps}{begins}{rest}\n) <$ask/in >$ask/out 2>$ask/err\n"
        'printf "%s\\n" $?\ndone\n'
    )


class Preloaded:
    """One such shell. `close` ends it."""

    def __init__(self, shell: Shell, place: Path, environment: Mapping[str, str], directory: Path) -> None:
        place.mkdir()
        self._place = place
        program = place / "server"
        program.write_text(server_text(shell.script.read_text()))
        self._process = subprocess.Popen(
            [*shell.argv, str(program), str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            process_group=0,
            cwd=directory,
            bufsize=0,
        )

    def run(self, root: bytes, words: Sequence[bytes], stdin: bytes, patience: float, changes: bytes = b"") -> Answer:
        """One command to its end. Raises where it does not come to one; then this shell is of no use any more.

        `changes` are functions of the script as they are for this command alone.
        """
        quoted = (b"'" + word.replace(b"'", b"'\\''") + b"'" for word in (root, *words))
        (self._place / "words").write_bytes(changes + b"set -- " + b" ".join(quoted) + b"\n")
        (self._place / "in").write_bytes(stdin)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        ready, _, _ = select.select([self._process.stdout], [], [], patience)
        assert ready, f"no answer within {patience} s"
        status = self._process.stdout.readline()
        errors = (self._place / "err").read_bytes()
        assert not errors, errors[:2000]
        return answer_of(int(status), (self._place / "out").read_bytes())

    def passes(self, root: bytes, words: Sequence[bytes], tar: bytes, patience: float) -> bool:
        """Whether `receive` or `assemble` would unpack this archive, by the script's own functions."""
        (self._place / "pack.tar").write_bytes(tar)
        verdict = self.run(root, words, b"", patience, VETTING).verdict
        assert verdict in (PASSED, "FAILED pack"), verdict
        return verdict == PASSED

    def close(self) -> None:
        """End the shell, whatever it does. One that waits for the next command ends by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
