"""A process that takes a lease, says so, and holds it until its input ends: ``URL SECONDS NAME [BUSY]``.

With so many BUSY threads that each always want the interpreter, as those of a worker that encrypts for many frontends.
"""

from __future__ import annotations

import sys
import threading

from orchestrator.adapters.lease import RedisLeases
from workers.app import SWITCH_SECONDS


def main(url: str, seconds: str, name: str, busy: str = "0") -> None:
    """Say ``held`` or ``refused``; at the end of the input let go, and say ``released``."""
    sys.setswitchinterval(SWITCH_SECONDS)
    ended = threading.Event()
    for _ in range(int(busy)):
        threading.Thread(target=_compute, args=[ended], daemon=True).start()
    lease = RedisLeases(url, float(seconds)).take(name)
    _say("refused" if lease is None else "held")
    sys.stdin.read()
    if lease is not None:
        lease.release()
        ended.set()
        _say("released")


def _compute(ended: threading.Event) -> None:
    while not ended.is_set():
        sum(range(1000))


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
