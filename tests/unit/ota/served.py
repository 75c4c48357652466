"""Frontends in memory that obey docs/protocol.md, "Serving", or do not, and one client before them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from orchestrator.domain.activation import ActivationName
from orchestrator.ota.answers import Answer, NoAnswer
from orchestrator.ota.behaviour import Behaviour
from orchestrator.ota.client import Client
from orchestrator.ota.tally import Tally
from orchestrator.ota.target import Ask, Target, Want

ENTRY = "/A/index.html"
Release = dict[str, bytes]


def name(epoch: int) -> ActivationName:
    return ActivationName(epoch, f"{epoch:016x}")


def token(release: Release) -> str:
    return Answer(200, repr(sorted(release.items())).encode()).ota.replace("+", "_")


def module_info(release: Release) -> bytes:
    manifest = {
        "versionToken": token(release),
        "urlVersions": {path: f"?{Answer(200, body).ota}" for path, body in release.items()},
        "urlMappings": {},
        "urlMappingsNoCache": {},
    }
    return json.dumps({"manifest": manifest, "data": {"modules": {}}}).encode()


def precache(release: Release) -> bytes:
    """With text before the JSON, as it may have."""
    urls = {path: f"?{Answer(200, body).ota}" for path, body in release.items()}
    integrity = {path: Answer(200, body).integrity for path, body in release.items()}
    document = {"versionToken": token(release), "urlVersions": urls, "integrity": integrity}
    return b"precache " + json.dumps(document).encode()


#: What is served as navigation is: from the pin's activation where it lies ahead, and it sets the pin.
NAVIGATION = {Want.VERSION, Want.PRECACHE, Want.DOCUMENT}


@dataclass
class Frontend:
    """One frontend. `held` are its staged activations, and so what it serves by hash and by token."""

    held: dict[ActivationName, Release]
    current: ActivationName
    ahead: set[ActivationName] = field(default_factory=set)
    obeys_pins: bool = True

    def activation(self, want: Want, pin: ActivationName | None) -> ActivationName:
        if pin is None or not self.obeys_pins:
            return self.current
        if want in NAVIGATION:
            return pin if pin in self.ahead and pin > self.current else self.current
        return pin if pin in self.held else self.current

    def serve(self, ask: Ask, pin: ActivationName | None, *, names_missing: bool) -> Answer:
        path, _, query = ask.url.partition("?")
        if ask.want is Want.MANIFEST:
            found = (module_info(release) for release in self.held.values() if token(release) == query)
            body = next(found, None)
            return Answer(404, b"") if body is None else Answer(200, body)
        if ask.want is Want.BY_HASH:
            for release in self.held.values():
                for content in release.values():
                    if Answer(200, content).ota == query:
                        return Answer(200, content)
        served = self.activation(ask.want, pin)
        release = self.held[served]
        if ask.want is Want.VERSION:
            return Answer(200, json.dumps({"versionToken": token(release)}).encode(), str(served))
        if ask.want is Want.PRECACHE:
            return Answer(200, precache(release), str(served))
        if path in release:
            return Answer(200, release[path], str(served))
        return Answer(404, b"", str(served) if names_missing else None)


@dataclass
class Fleet:
    """Frontends, the steps that are still to be done to them, and one client's cookie."""

    frontends: list[Frontend]
    steps: list[Callable[[], None]]
    random: Random
    names_missing: bool = True
    pin: ActivationName | None = None

    def answer(self, ask: Ask) -> Answer:
        if self.steps and self.random.random() < 0.2:
            self.steps.pop(0)()
        frontend = self.random.choice(self.frontends)
        answer = frontend.serve(ask, self.pin, names_missing=self.names_missing)
        if ask.want in NAVIGATION and answer.status == 200 and answer.activation:
            self.pin = ActivationName.parse(answer.activation)
        return answer


def releases(random: Random, number: int, *, always_entry: bool) -> list[Release]:
    made = []
    for _ in range(number):
        paths = ["/A/a.js", *(path for path in ("/A/b.js", "/A/c.css", "/A/d.css") if random.random() < 0.8)]
        if always_entry or random.random() < 0.8:
            paths.append(ENTRY)
        made.append({path: f"{path} {random.randrange(3)}".encode() for path in paths})
    return made


def stage(frontends: list[Frontend], epoch: int, release: Release) -> None:
    for frontend in frontends:
        frontend.held[name(epoch)] = release
        frontend.ahead.add(name(epoch))


def flip(frontend: Frontend, epoch: int) -> None:
    frontend.current = name(epoch)
    frontend.ahead.discard(name(epoch))


def fleet(seed: int, *, names_missing: bool = True, obeys_pins: bool = True, left_behind: int = 0) -> Fleet:
    """Four frontends and five deployments; `left_behind` of the frontends are not told of them."""
    random = Random(seed)
    first, *later = releases(random, 6, always_entry=not names_missing)
    frontends = [Frontend({name(1): first}, name(1), obeys_pins=obeys_pins) for _ in range(4)]
    told = frontends[left_behind:]
    steps: list[Callable[[], None]] = []
    for epoch, release in enumerate(later, start=2):
        steps.append(lambda e=epoch, r=release: stage(told, e, r))  # type: ignore[misc]
        order = random.sample(told, len(told))
        steps += [lambda f=frontend, e=epoch: flip(f, e) for frontend in order]  # type: ignore[misc]
    return Fleet(frontends, steps, random, names_missing)


def new_client(tally: Tally, random: Random, behaviour: Behaviour = Behaviour.LOCKSTEP) -> Client:
    target = Target.of("http://a", "A")
    return Client(target, tally, random=random, elapsed=lambda: 0.0, stamp=lambda: 17, behaviour=behaviour)


def go_steps(client: Client, answer: Callable[[Ask], Answer | NoAnswer]) -> tuple[list[tuple[Ask, ...]], bool]:
    """A round, and what was asked at once at each of its steps."""
    asked = []
    steps = client.round()
    try:
        asks = next(steps)
        while True:
            asked.append(asks)
            asks = steps.send(tuple(answer(ask) for ask in asks))
    except StopIteration as end:
        return asked, bool(end.value)


def go_round(client: Client, answer: Callable[[Ask], Answer | NoAnswer]) -> tuple[list[Ask], bool]:
    asked, whole = go_steps(client, answer)
    return [ask for asks in asked for ask in asks], whole


def watch(observed: Fleet, behaviour: Behaviour = Behaviour.LOCKSTEP) -> Tally:
    """Go rounds until all is done to the fleet, and some more."""
    tally = Tally()
    client = new_client(tally, observed.random, behaviour)
    while observed.steps:
        go_round(client, observed.answer)
    for _ in range(5):
        go_round(client, observed.answer)
    return tally
