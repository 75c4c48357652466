"""Commands in front of those that a shell finds: they record that they are started, and when, or kill, or meddle."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.remote.frontend import Conversation, Frontend
from tests.remote.shells import PATIENCE, Answer, Shell

COMMANDS = [
    *("awk", "cat", "chmod", "cut", "date", "find", "flock", "grep", "gzip", "ln", "mkdir", "mv", "readlink", "rm"),
    *("sed", "sh", "sha256sum", "sleep", "sort", "stat", "sync", "tar", "timeout", "touch", "tr", "wc", "xargs"),
]
#: What is used where it is there.
OPTIONAL = ["openssl"]
#: Records itself; kills its process group when its turn has come, and meddles when the meddler is to be started.
SHIM = """#!/bin/dash
echo "{name} $*" >>"$RECORD"
n=0
while read -r _; do n=$((n + 1)); done <"$RECORD"
[ "$n" -lt "${{KILL_AT:-99999}}" ] || kill -9 0
case "{name} $*" in ${{MEDDLE_AT:-never}}) eval "$MEDDLE" ;; esac
exec {command} "$@"
"""


def shims(directory: Path, shell: Shell, optional: Sequence[str] = OPTIONAL) -> Path:
    """Commands in front of those that `shell` finds."""
    directory.mkdir(exist_ok=True)
    for name in (*COMMANDS, *optional):
        found = shutil.which(name, path=shell.path)
        if found is None and name in optional:
            continue
        assert found is not None, name
        (directory / name).write_text(SHIM.format(name=name, command=found))
        (directory / name).chmod(0o755)
    return directory


def killed(frontend: Frontend, path: Path, turn: int, *words: str, stdin: bytes = b"") -> bool:
    """Run a command with the commands in `path`; whether it was killed, not done before its turn came."""
    record = frontend.root.parent / "record"
    record.unlink(missing_ok=True)
    shell = replace(frontend.shell, path=str(path), more={"RECORD": str(record), "KILL_AT": str(turn)})
    conversation = Conversation(shell.start(frontend.root, *words))
    conversation.say_all(stdin)
    conversation.rest(killed=True)
    status = conversation.process.wait(PATIENCE)
    assert status in {0, -signal.SIGKILL}, status
    return status != 0


def recorded(frontend: Frontend, *words: str, stdin: bytes = b"") -> list[str]:
    """Run a command to its good end; what it started, each with its words, the root and its own number left out."""
    path = shims(frontend.root.parent / "recording", frontend.shell, optional=())
    record = frontend.root.parent / "record"
    record.unlink(missing_ok=True)
    shell = replace(frontend.shell, path=str(path), more={"RECORD": str(record)})
    assert shell.run(frontend.root, *words, stdin=stdin).verdict == "OK"
    text = re.sub(r"(incoming/[0-9a-z-]+)\.[0-9]+", r"\1", record.read_text())
    return text.replace(f"{frontend.root}", "ROOT").splitlines()


def meddled(frontend: Frontend, at: str, meddle: str, *words: str) -> Answer:
    """Run a command; `meddle`, a line of shell, is run before what the pattern `at` describes is started."""
    path = shims(frontend.root.parent / "meddling", frontend.shell)
    more = {"RECORD": str(frontend.root.parent / "record"), "MEDDLE_AT": at, "MEDDLE": meddle}
    return replace(frontend.shell, path=str(path), more=more).run(frontend.root, *words)
