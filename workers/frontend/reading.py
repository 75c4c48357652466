"""One answer over HTTP: while it comes in, and what it came to."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from workers.frontend.answers import printable

#: An answer's header, in bytes: a frontend of ours sends less than a kilobyte.
LONGEST_HEADER = 64 << 10
#: Every answer names the activation that it comes from.
ACTIVATION_HEADER = "Lockstep-Activation"
WITHOUT_END = "an answer without an end"
_ACTIVATION = re.compile(rb"\n(?i:%b):(.*)" % ACTIVATION_HEADER.encode())
_END = re.compile(rb"\n[ \t\r\f\v]*\n")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the header that names an activation ("" for none), and the body's hash and size.

    `cut`: there was more, which nobody read; hash and size are those of the beginning.
    """

    status: int
    activation: str
    sha256: str
    size: int
    cut: bool = False

    def __str__(self) -> str:
        if self.status != HTTPStatus.OK:
            return f"status {self.status}"
        activation = printable(self.activation) or "(not named)"
        if self.cut:
            return f"at least {self.size} bytes from activation {activation}"
        return f"{self.size} bytes of SHA-256 {self.sha256} from activation {activation}"


@dataclass(slots=True)
class Reading:
    """One answer, while it comes in.

    `lines` takes the header's lines as they come: libcurl calls for each of a dozen, and ends what is longer than
    300 kB, or in all than 6 MB, itself.
    """

    most: float
    deadline: float
    lines: list[bytes] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)
    size: int = 0
    #: Why the rest was not read.
    cut: bool = False
    late: bool = False

    def body(self, piece: bytes) -> int | None:
        """The next bytes, as they were sent. What it returns other than nothing ends the transfer."""
        if not self.size and self.overlong:
            return -1
        # Each piece may come in time, and the last one never.
        if time.monotonic() > self.deadline:
            self.late = True
            return -1
        self.digest.update(piece)
        self.size += len(piece)
        if self.size > self.most:
            self.cut = True
            return -1
        return None

    @property
    def overlong(self) -> bool:
        """Whether the header is longer than any of ours."""
        return sum(map(len, self.lines)) > LONGEST_HEADER

    @property
    def wrong(self) -> str:
        """Why this is no answer, whatever libcurl makes of it; "" where it may be one."""
        if self.overlong:
            return "a header without an end"
        return WITHOUT_END if self.late else ""

    @property
    def activation(self) -> str:
        """What the header names, "" for none."""
        header = b"".join(self.lines)
        # What came before the last status line was no answer yet, and behind the body come trailers.
        begins = header.rfind(b"\nHTTP/") + 1
        ends = _END.search(header, begins)
        named = _ACTIVATION.findall(header, begins, ends.end() if ends else len(header))
        # Of two there is no telling which is meant: together they are no activation's name.
        return ", ".join(name.strip().decode("iso-8859-1") for name in named)

    def answer(self, status: int) -> Answer:
        """What came in, with its status."""
        return Answer(status, self.activation, self.digest.hexdigest(), self.size, self.cut)
