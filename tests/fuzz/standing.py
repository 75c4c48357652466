"""An attendant that does one input's command after the other."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.remote.attended import Attendant
from tests.remote.frontend import Frontend
from tests.remote.shells import Answer, Shell


class Standing:
    """One such process. `close` ends it."""

    def __init__(self, shell: Shell, root: Path, patience: float) -> None:
        self._patience = patience
        self._attendant = Attendant(Frontend(shell, root))
        assert self._attendant.ready.startswith("READY "), self._attendant.ready
        assert self._attendant.process.stderr is not None
        self._errors = self._attendant.process.stderr.fileno()
        os.set_blocking(self._errors, False)
        self.ended = False

    def run(self, words: Sequence[bytes], stdin: bytes) -> Answer:
        """One command to its end. Raises where it does not come to one; then this process is of no use any more."""
        watch = threading.Timer(self._patience, os.killpg, (self._attendant.process.pid, signal.SIGKILL))
        watch.start()
        try:
            answer = self._attendant.do(*words, stdin=stdin)
        finally:
            watch.cancel()
        # It ends after a line that is none.
        self.ended = answer.lines[-1].startswith("REFUSED words a line is not ")
        try:
            errors = os.read(self._errors, 2000)
        except BlockingIOError:
            errors = b""
        assert not errors, errors
        return answer

    def close(self) -> None:
        """End its input, and whatever it does."""
        if not self.ended:
            os.killpg(self._attendant.process.pid, signal.SIGKILL)
        self._attendant.end()
