"""What a frontend's script answers: lines, the last of them the verdict. No I/O."""

from __future__ import annotations

import re

from orchestrator.domain.errors import RefusedError, UnansweredError

CODE = re.compile(r"[a-z]{1,20}")

#: The script's exit status, by the first word of its last line.
STATUSES = {"OK": 0, "REFUSED": 10, "FAILED": 11}

#: No answer is longer than this, in bytes; a listing of 100,000 files of long names fits.
LONGEST_ANSWER = 64 * 1024 * 1024


class ScriptRefusedError(RefusedError):
    """The script said no, or tried without success. `code` is the word that it gave."""

    def __init__(self, code: str, text: str, command: str) -> None:
        super().__init__(f"{command}: {text}", found=code, remedy=REMEDIES.get(code, ""))
        self.code = code


REMEDIES = {
    "busy": "another command works on this frontend; try again when it is done",
    "fenced": "a later deployment was there first; see `lockstep history`",
    "space": "free disk space below the frontend's root, then deploy again",
    "unstaged": "deploy again: the activation was removed from the frontend",
    "drained": "see `lockstep status`: it was drained or readmitted anew in the meantime",
    "recent": "nothing to do: it goes with a later deployment, when its time is over",
    "state": "see docs/frontend.md, 'Odd states'",
    "hash": "deploy again; where it comes back, see the frontend's disk and memory",
}


def interpret(command: str, stdout: bytes, status: int | None) -> list[str]:
    """The lines of an answer before its last word, ``OK``.

    Raises:
        ScriptRefusedError: the script answered ``REFUSED`` or ``FAILED``.
        UnansweredError: anything else, a missing exit status and a missing last word included.
    """
    lines = stdout.decode("utf-8", "surrogateescape").split("\n")
    last = lines[-2] if len(lines) >= 2 and not lines[-1] else ""
    verdict, _, rest = last.partition(" ")
    code, _, text = rest.partition(" ")
    if last == "OK" and status == STATUSES["OK"]:
        return lines[:-2]
    if verdict in {"REFUSED", "FAILED"} and status == STATUSES[verdict] and CODE.fullmatch(code):
        raise ScriptRefusedError(code, printable(text), command)
    raise unintelligible(command, stdout, status)


def unintelligible(command: str, stdout: bytes, status: int | None) -> UnansweredError:
    """The error for an answer that can't be understood."""
    tail = printable(stdout[-200:].decode("utf-8", "replace"))
    return UnansweredError(
        f"{command}: no answer that can be understood",
        expected="lines that end with OK, REFUSED or FAILED",
        found=f"exit status {'unknown' if status is None else status}, {tail or 'nothing'}",
        remedy="log in to the frontend with the same account and run the command by hand (docs/frontend.md)",
    )


def printable(text: str, most: int = 300) -> str:
    """`text` from outside, safe to show: one line, no control characters, not too long."""
    return "".join(char if char.isprintable() else " " for char in text)[:most].strip()
