"""The worker: Celery's application with Lockstep's tasks, and the command `lockstep-worker`.

A worker runs its tasks in threads: they wait for frontends, and so share one connection per frontend. Tasks are thin,
ids in; everything that they know comes from the ledger, so a task delivered twice changes nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence

from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutdown

from orchestrator.adapters.dispatch import (
    ADOPT,
    AUDIT,
    AUDITS_DUE,
    COORDINATE,
    COORDINATION_QUEUE,
    DRAIN,
    LOOK,
    STEP_QUEUE,
    STEPS,
    WATCH,
    celery_app,
)
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.deployment import Step
from orchestrator.domain.errors import LockstepError, UsageError
from orchestrator.logs import configure
from orchestrator.settings import Settings
from workers import beat
from workers.bootstrap import Workshop
from workers.lookout import Watchman
from workers.postman import Postman
from workers.tasks import adopting, auditing, deployment, frontend, looking
from workers.tasks.auditing import DUE_EVERY
from workers.tasks.deployment import WATCH_EVERY

#: Tasks that one worker takes at once. Most of them wait: for frontends, or for the crew that works on their batches.
CONCURRENCY = 32
#: How long a thread may keep the interpreter from the others, in seconds. Python's default is 5 ms. With 40 threads
#: that encrypt, whoever renews the leases then waits so long for each of its turns that they lapse; with 1 ms they
#: keep half of their time.
SWITCH_SECONDS = 0.001


def make_app(settings: Settings, make_workshop: Callable[[Lockstep], Workshop] = Workshop) -> Celery:
    """The application, its tasks bound to one workshop. `UsageError` where no broker is configured."""
    lockstep = Lockstep(settings)
    if settings.broker_url is None:
        raise UsageError(
            "no broker is configured",
            expected="LOCKSTEP_BROKER_URL, such as redis://broker.example.com/0",
            remedy="set it, or run everything in one command: lockstep standalone",
        )
    workshop = make_workshop(lockstep)
    app = celery_app(settings.broker_url)

    @app.task(name=COORDINATE)
    def coordinate(number: int) -> None:
        deployment.coordinate(workshop, number)

    @app.task(name=WATCH, acks_late=False, expires=WATCH_EVERY.total_seconds())
    def watch() -> None:
        deployment.watch(workshop)

    @app.task(name=AUDIT)
    def audit(number: int) -> None:
        auditing.run(workshop, number)

    @app.task(name=AUDITS_DUE, acks_late=False, expires=DUE_EVERY.total_seconds())
    def audits_due() -> None:
        auditing.due(workshop)

    @app.task(name=DRAIN)
    def drain(number: int) -> None:
        deployment.drain(workshop, number)

    @app.task(name=STEPS[Step.STAGE])
    def stage(number: int, asking: int, name: str, frontends: list[str]) -> None:
        frontend.stage(workshop, number, asking, name, frontends)

    @app.task(name=STEPS[Step.VERIFY])
    def verify(number: int, asking: int, name: str, frontends: list[str]) -> None:
        frontend.verify(workshop, number, asking, name, frontends)

    @app.task(name=LOOK, acks_late=False)
    def look(*words: object) -> None:
        looking.look(workshop, words)

    @app.task(name=ADOPT, acks_late=False)
    def adopt(*words: object) -> None:
        adopting.adopt(workshop, words)

    for each in (Watchman(workshop), Postman(lockstep)):
        worker_ready.connect(lambda *, each=each, **_: each.start(), weak=False)
        worker_shutdown.connect(lambda *, each=each, **_: each.stop(), weak=False)
    app.conf.beat_schedule = {
        "watch": {"task": WATCH, "schedule": WATCH_EVERY},
        "audits": {"task": AUDITS_DUE, "schedule": DUE_EVERY},
    }
    beat.embed(app, settings.broker_url)
    return app


def arguments(given: Sequence[str]) -> list[str]:
    """Celery's command line for `lockstep-worker GIVEN…`; what is given comes last and so overrides."""
    own = [
        "worker",
        "--pool=threads",
        f"--concurrency={CONCURRENCY}",
        f"--queues={COORDINATION_QUEUE},{STEP_QUEUE}",
        "--loglevel=INFO",
        "--without-mingle",
        "--without-gossip",
    ]
    return [*own, *given]


def run(app: Celery, given: Sequence[str]) -> int:
    """Run `lockstep-worker GIVEN…` to its end. Its exit code, which Celery's `worker_main` keeps to itself."""
    codes: list[int | None] = [0]
    worker_shutdown.connect(lambda *, sender, **_: codes.append(sender.exitcode), weak=False)
    app.worker_main(arguments(given))
    return codes[-1] or 0


def main(make_workshop: Callable[[Lockstep], Workshop] = Workshop) -> None:
    """`lockstep-worker [CELERY OPTION…]`: `--beat` on one worker or more, `--concurrency`, `--hostname`, …."""
    sys.setswitchinterval(SWITCH_SECONDS)
    settings = Settings.read()
    configure(settings.log_format)
    setup_logging.connect(_keep_logging, weak=False)
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        app = make_app(settings, make_workshop)
    except LockstepError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    sys.exit(run(app, sys.argv[1:]))


def _keep_logging(**_: object) -> None:
    """Celery leaves the logging as `configure` set it."""
    logging.getLogger("celery").setLevel(logging.INFO)


if __name__ == "__main__":
    main()
