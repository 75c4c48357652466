"""A process that takes a lease, says so, and holds it until its input ends: ``URL SECONDS NAME``."""

from __future__ import annotations

import sys

from orchestrator.adapters.lease import RedisLeases


def main(url: str, seconds: str, name: str) -> None:
    """Say ``held`` or ``refused``; at the end of the input let go, and say ``released``."""
    lease = RedisLeases(url, float(seconds)).take(name)
    _say("refused" if lease is None else "held")
    sys.stdin.read()
    if lease is not None:
        lease.release()
        _say("released")


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
