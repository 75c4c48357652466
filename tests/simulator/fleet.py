"""The simulated frontends as a coordinator's process reaches them: what workers do over SSH and at the load balancer.

Each asking is a thread of its own, as in the real worker; each command and each answer is on its way for as long as the
scheduler wants. The one word goes out from the coordinator's own thread, one frontend after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.domain.activation import Activation, ActivationName
from orchestrator.domain.deployment import Report, Step
from orchestrator.domain.effects import Ask
from orchestrator.domain.errors import LockstepError, RefusedError
from orchestrator.ports import Ledger
from tests.protocol.simulation.frontend import ACCEPTED, Answer
from tests.simulator.actors import Process
from tests.simulator.frontend import Frontend
from tests.simulator.releases import EPOCH
from tests.simulator.streams import Request, Stream
from workers.attempt import attempt
from workers.frontend.commands import Probed
from workers.frontend.job import Job, prepared
from workers.frontend.steps import Detail

if TYPE_CHECKING:
    from tests.simulator.world import World

Deliver = Callable[[Report], None]


class SteppedFleet:
    """`orchestrator.ports.Fleet`: the frontends of one deployment, for one coordinator in one process."""

    def __init__(self, world: World, process: Process, ledger: Ledger, number: int) -> None:
        self._world = world
        self._process = process
        self._ledger = ledger
        now = EPOCH + timedelta(seconds=world.now)
        # Read in one go: what the rows said at one moment.
        self._prepared = prepared(world.ledger, world.artifacts, number, now)
        self._row = self._prepared.deployment
        self._name = self._row.name
        self._armed: dict[str, Stream] = {}
        self._closed = False

    def ask(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        """Begin these askings; to activate, say the words first."""
        acts = {
            Step.STAGE: self._stage,
            Step.VERIFY: self._verify,
            Step.ARM: self._arm,
            Step.CONFIRM: self._confirm,
            Step.DISARM: self._disarm,
            Step.DRAIN: self._drain,
            Step.READMIT: self._readmit,
        }
        if any(ask.step is Step.DISARM for ask in asks):
            self._hang_up()
        told = {ask.frontend: self._tell(ask) for ask in asks if ask.step is Step.ACTIVATE}
        for ask in asks:
            act = told.get(ask.frontend) or acts[ask.step]
            job = Job(self._prepared, self._world.server(ask.frontend))
            self._begin(ask, partial(act, job), deliver)

    def close(self) -> None:
        """Every conversation ends."""
        self._closed = True
        self._hang_up()

    # ── below ──

    def _begin(self, ask: Ask, act: Callable[[], Detail], deliver: Deliver) -> None:
        name = f"{ask.step} {ask.frontend} {ask.attempt}"
        self._world.begin(self._process, name, lambda: deliver(attempt(ask, act)))

    def _hang_up(self) -> None:
        streams, self._armed = self._armed, {}
        for stream in streams.values():
            stream.close()

    def _tell(self, ask: Ask) -> Callable[[Job], Detail]:
        stream = self._armed.pop(ask.frontend, None)
        if stream is None:
            return self._activate
        self._world.running.now.pause(f"say the word to {ask.frontend}")
        stream.say(self._name)
        return lambda job: _flipped(self._world.hear(stream))

    def _call(self, job: Job, label: str, act: Callable[[Frontend], Answer]) -> Answer:
        stream = self._world.open(self._process, job.frontend.name)
        stream.ask(Request(label, act))
        try:
            return self._world.hear(stream)
        finally:
            stream.close()

    # ── the steps, as `workers.frontend.steps` has them ──

    def _stage(self, job: Job) -> Detail:
        own, name = self._row.activation, self._name
        if job.readmits:
            drain = job.deployment.plan.readmits[job.frontend.name]
            take_out(self._world, self._process, job.frontend.name, name, drain)
            probed = self._probe(job)
            for held in job.to_bring(probed):
                self._call(job, f"stage {held.name}", partial(_stage, activation=self._world.activation(held.name)))
            first = probed.fence >= name.epoch
            if first:
                self._call(job, f"activate {name}", lambda frontend: frontend.activate(name))
            self._call(job, f"stage {name}", lambda frontend: frontend.stage(own))
            if not first:
                self._call(job, f"activate {name}", lambda frontend: frontend.activate(name))
        else:
            self._call(job, f"stage {name}", lambda frontend: frontend.stage(own))
        return {}

    def _verify(self, job: Job) -> Detail:
        name, earlier = self._name, [held.name for held in job.prepared.earlier]
        if earlier:
            self._call(job, "verify earlier", lambda frontend: frontend.hold_whole(earlier))
        answer = self._call(job, f"verify {name}", lambda frontend: frontend.verify(name))
        return {"served": dict(answer.served)}

    def _arm(self, job: Job) -> Detail:
        name = self._name
        stream = self._world.open(self._process, job.frontend.name)
        stream.ask(Request(f"arm {name}", lambda frontend: frontend.arm(name), arms=name))
        try:
            self._world.hear(stream)
        except LockstepError:
            stream.close()
            raise
        if self._closed:
            stream.close()
        else:
            self._armed[job.frontend.name] = stream
        return {}

    def _activate(self, job: Job) -> Detail:
        name = self._name
        return _flipped(self._call(job, f"activate {name}", lambda frontend: frontend.activate(name)))

    def _confirm(self, job: Job) -> Detail:
        name = self._name
        self._call(job, f"confirm {name}", lambda frontend: frontend.confirm(name))
        if not job.readmits:
            self._prune(job)
        return {}

    def _prune(self, job: Job) -> None:
        try:
            served, never = self._world.rules.to_prune(job, self._probe(job))
            for names in (served, never):
                if names:
                    self._call(job, f"prune {names}", partial(_prune, by=self._name, names=tuple(names)))
        except LockstepError:
            # What could not be removed goes the next time.
            return

    def _disarm(self, job: Job) -> Detail:
        name = self._name
        self._call(job, f"disarm {name}", lambda frontend: frontend.disarm(name))
        return {}

    def _probe(self, job: Job) -> Probed:
        found: list[Probed] = []

        def probe(frontend: Frontend) -> Answer:
            found.append(_probed(frontend))
            return ACCEPTED

        self._call(job, "probe", probe)
        self._world.running.now.learns((found[-1].fence, found[-1].activations))
        return found[-1]

    # ── rotation, as `workers.rotation` has it ──

    def _drain(self, job: Job) -> Detail:
        fleet, frontend = job.fleet, job.frontend.name
        plan = job.deployment.plan
        drain = self._ledger.add_drain(
            fleet.key, frontend, plan.snapshot, "test", "not reached", remaining=plan.frontends
        )
        by = take_out(self._world, self._process, frontend, self._name, drain.number)
        self._ledger.confirm_drain(drain.number, by)
        return {}

    def _readmit(self, job: Job) -> Detail:
        name, drain = self._name, job.deployment.plan.readmits[job.frontend.name]
        self._call(job, f"readmit {drain}", lambda frontend: frontend.readmit(name, drain))
        self._world.balance(job.frontend.name, ready=True)
        return {}


#: Who confirms a drain: with the frontend's own mark, and where it could not be reached.
MARKED = "the load balancer, and the frontend's own mark"
UNMARKED = "the load balancer"


def take_out(world: World, process: Process, frontend: str, name: ActivationName, drain: int) -> str:
    """Out of rotation at the load balancer; then the frontend's own mark, as far as it can be reached."""
    world.balance(frontend, ready=False)
    stream = world.open(process, frontend)
    stream.ask(Request(f"drain {drain}", lambda it: it.mark_drained(name, drain)))
    try:
        world.hear(stream)
    except LockstepError as error:
        world.running.now.learns(isinstance(error, RefusedError))
        return UNMARKED
    else:
        return MARKED
    finally:
        stream.close()


def _stage(frontend: Frontend, activation: Activation) -> Answer:
    return frontend.stage(activation)


def _prune(frontend: Frontend, by: ActivationName, names: Sequence[ActivationName]) -> Answer:
    return frontend.prune(by, names)


def _flipped(answer: Answer) -> Mapping[str, float | None]:
    return {"at": answer.at}


def _probed(frontend: Frontend) -> Probed:
    return Probed(
        script="",
        fence=frontend.fence,
        current=frontend.current,
        drained=frontend.drain > 0,
        drain=frontend.drain,
        free=0,
        clock=0,
        activations=frozenset(map(str, frontend.staged)),
    )
