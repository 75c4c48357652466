"""An instrument in a process of its own: says `ready`, works until its standard input ends, then prints JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
SECONDS = 60.0


def keep_bytecode() -> None:
    """Have what is started here run as an installed package does, its modules compiled once and not by each command."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


class Child:
    """`python -m MODULE WORDS…`."""

    def __init__(self, module: str, *words: str) -> None:
        self._argv = [sys.executable, "-m", module, *words]
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The process, once it was started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready. `RuntimeError` where it ends instead."""
        process = subprocess.Popen(self._argv, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        self._process = process
        if process.stdout.readline() != "ready\n":
            process.kill()
            process.communicate()
            raise RuntimeError(f"did not begin: {' '.join(self._argv[:4])}")

    def finish(self) -> Any:
        """End it; its JSON, or None where it was never started or has failed."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        try:
            said, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return json.loads(said) if process.returncode == 0 else None
