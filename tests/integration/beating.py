"""A worker with the beat, as `lockstep-worker --beat`, in a hurry and without work: ``LOCK_SECONDS EVERY OPTION…``.

What it is told by the environment is what any worker is told. It takes messages from nowhere, so what its beat sends
stays in the queue, where the test counts it.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from orchestrator.settings import Settings
from workers.app import make_app, run

#: How often a beat looks after its lock, in seconds.
LOOK_SECONDS = 0.1


def main(lock_seconds: str, every: str, *options: str) -> None:
    """Run it until it is ended; each task is sent every so many seconds."""
    app = make_app(Settings.read())
    app.conf.update(redbeat_lock_timeout=float(lock_seconds), beat_max_loop_interval=LOOK_SECONDS)
    for entry in app.conf.beat_schedule.values():
        entry["schedule"] = timedelta(seconds=float(every))
    sys.exit(run(app, ["--beat", "--queues=nowhere", "--concurrency=1", *options]))


if __name__ == "__main__":
    main(*sys.argv[1:])
