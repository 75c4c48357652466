"""What the tests of the outbox share: an embedded ledger with its trail, a clock that is moved, and receivers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from inventory.hooks import Webhook
from orchestrator.adapters.ledger.deliveries import SqlDeliveries
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.adapters.webhook import WebhookReceiver
from orchestrator.domain.delivery import WEBHOOK_PATIENCE, Answer, Delivered, Delivery, matches
from orchestrator.domain.errors import Problem
from orchestrator.domain.trail import Action, Entry
from orchestrator.ports import Receiver
from orchestrator.services.outbox import Outbox
from tests.empty_ledger import empty_ledger
from tests.unit.adapters.listener import Listener
from tests.unit.services.fleets import Clock

TAKEN = Answer(taken=True, status=200)
REFUSED = Answer(taken=False, status=500, problem=Problem("the receiver did not take it"))
KEY = "planted-key-0123456789abcdef"


@dataclass
class Post:
    """One ledger, and the outbox of one worker."""

    directory: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.ledger = self.directory / "ledger.sqlite"
        engine = empty_ledger(self.ledger)
        # What another one copies is in the file, not beside it.
        engine.dispose()
        self.trail = SqlTrail(engine, self.clock)
        self.deliveries = SqlDeliveries(engine, self.clock)
        self.outbox = self.another_worker()

    def another_worker(self) -> Outbox:
        return Outbox(self.deliveries, self.trail, self.clock, lambda: 0.0)

    def webhook(
        self, listener: Listener, name: str = "chatops", events: Sequence[str] = ("*",), fleets: Sequence[str] = ()
    ) -> WebhookReceiver:
        secret = self.directory / f"{name}.secret"
        secret.write_text(KEY)
        secret.chmod(0o600)
        known = {"name": name, "url": listener.url, "secret_file": str(secret)}
        hook = Webhook.model_validate({**known, "events": list(events), "fleets": list(fleets)})
        return WebhookReceiver(hook, self.clock, 5.0)

    def happens(self, name: str = "deployment.done", fleet: str = "Production/web", deployment: int = 17) -> Entry:
        return self.trail.add(Action(name, "ada", fleet, deployment, {"state": "done"}))

    def round(self, receivers: Mapping[str, Receiver]) -> None:
        """Look once, and deliver what is due."""
        for name in self.outbox.look(receivers):
            while self.outbox.deliver(receivers[name]):
                pass

    def passes(self, receivers: Mapping[str, Receiver], span: timedelta) -> None:
        """Let time pass, with a round at every moment at which something is due."""
        end = self.clock.now + span
        while self.clock.now < end:
            self.round(receivers)
            due = [each.due_at for each in self.deliveries.positions().values() if each.due_at is not None]
            later = self.clock.now + timedelta(seconds=0.5)
            self.clock.now = min(max(later, min(due, default=end)), end)
        self.round(receivers)

    def states(self, name: str | None = None) -> list[tuple[int, Delivered]]:
        """Every delivery's event and what has become of it, in the order of events."""
        found = self.deliveries.deliveries(name, limit=10_000)
        return [(each.entry.number, each.state) for each in reversed(found)]

    def only(self) -> Delivery:
        (found,) = self.deliveries.deliveries()
        return found


def by_name(*receivers: Receiver) -> dict[str, Receiver]:
    return {receiver.name: receiver for receiver in receivers}


def heard(listener: Listener) -> list[int]:
    """The numbers of the events that a listener got, in its order."""
    return [json.loads(got.body)["number"] for got in listener.got]


@dataclass
class Scripted:
    """A receiver that answers as it is told to, and keeps what it was told."""

    answer: Callable[[Entry], Answer]
    name: str = "webhook/scripted"
    patience: timedelta = WEBHOOK_PATIENCE
    events: Sequence[str] = ("*",)
    told: list[tuple[str, int]] = field(default_factory=list)

    def wants(self, entry: Entry) -> bool:
        return matches(entry, self.events, [])

    def send(self, delivery: str, entry: Entry) -> Answer:
        self.told.append((delivery, entry.number))
        return self.answer(entry)


def taking(entry: Entry) -> Answer:
    del entry
    return TAKEN


def refusing(entry: Entry) -> Answer:
    del entry
    return REFUSED


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger in which nothing has happened: made once, since making one takes longer than most of the tests."""
    return Post(tmp_path_factory.mktemp("empty")).ledger


@pytest.fixture
def post(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Post:
    monkeypatch.setenv("NO_PROXY", "*")
    shutil.copy(empty, tmp_path)
    return Post(tmp_path)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener().listening() as listener:
        yield listener
