"""A fleet of three in which all is well, and what can be changed in it: observations for the examination."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.errors import Problem
from orchestrator.domain.release import File, Hasher, Manifest
from orchestrator.domain.rotation import Drain
from orchestrator.ota.doctor.chart import Chart, draw
from orchestrator.ota.doctor.look import Look, Seen, Unseen
from orchestrator.ota.doctor.observations import Asked, Observations, Open, Reply, Seat, Silence, Standing, Visit
from orchestrator.ota.doctor.questions import Kind, Question, of_documents, of_files
from orchestrator.ota.target import Target

URL = "https://apps.example.org"
OLD_FILES = {"index.html": b"<title>old</title>", "app.js": b"old script", "img/logo.png": b"logo"}
NEW_FILES = {"index.html": b"<title>new page</title>", "app.js": b"new script, longer", "img/logo.png": b"logo"}
FRONTENDS = ("fe1", "fe2", "fe3")
UNSEEN = Unseen(Problem("no worker answers", expected="a worker", found="none", remedy="start one"))

CONTROL = {
    Kind.VERSION: "no-store",
    Kind.PRECACHE: "no-store",
    Kind.ENTRY: "private, no-cache",
    Kind.BY_PATH: "no-cache",
    Kind.INFO: "public, max-age=31536000, immutable",
    Kind.BY_HASH: "public, max-age=31536000, immutable",
}


def manifest(files: Mapping[str, bytes]) -> Manifest:
    made = {path: Hasher.of([content]) for path, content in files.items()}
    return Manifest.of(File(path, each.size, each.sha256, each.ota) for path, each in made.items())


OLD, NEW = manifest(OLD_FILES), manifest(NEW_FILES)


def named(epoch: int) -> ActivationName:
    return ActivationName(epoch, f"{epoch:016x}")


def activation(epoch: int, version: str, digest: str) -> Activation:
    return Activation.of(named(epoch), [Placement("ToDo", "/ToDo/", version, digest)])


FIRST, SECOND = activation(1, "1.0.0", OLD.digest), activation(2, "2.0.0", NEW.digest)


def chart_of(present: Activation, content: Manifest, earlier: Mapping[str, Manifest]) -> Chart:
    committed = [present, FIRST] if present is not FIRST else [FIRST]
    return draw(present, "ToDo", {content.digest: Described(content)}, earlier, committed)


CHART = chart_of(SECOND, NEW, {"1.0.0": OLD})
BEFORE = chart_of(FIRST, OLD, {})
QUESTIONS = [
    *of_documents(Target.of(URL, "ToDo"), CHART.documents, CHART.release.release_tree, 1),
    *of_files(NEW, CHART.urls, CHART.release.release_tree),
]


def question(kind: Kind, path: str = "") -> Question:
    return next(q for q in QUESTIONS if q.kind is kind and (not path or q.path == path))


def right(q: Question) -> Reply:
    """What a frontend answers that serves the present release."""
    assert q.expected.sha256 is not None
    assert q.expected.ota is not None
    return Reply(
        200,
        q.expected.sha256,
        q.expected.ota,
        q.expected.size or 0,
        name=named(2) if q.kind.named else None,
        token=CHART.release.token if q.kind in (Kind.VERSION, Kind.INFO, Kind.PRECACHE) else "",
        pin=q.kind.navigation,
        cache={"cache-control": CONTROL[q.kind]},
    )


def of_bytes(reply: Reply, content: bytes) -> Reply:
    made = Hasher.of([content])
    return replace(reply, sha256=made.sha256, ota=made.ota, size=made.size)


def old(q: Question) -> Reply:
    """What a frontend answers that still serves the release before; by hash it has both."""
    reply = right(q)
    if not q.kind.named:
        return reply
    reply = replace(reply, name=named(1))
    if q.path:
        return of_bytes(reply, OLD_FILES[q.path])
    return replace(reply, token=BEFORE.release.token, sha256="0" * 64, ota="x" * 22)


def status(code: int) -> Callable[[Question], Reply]:
    return lambda q: Reply(code, "e" * 64, "e" * 22, 9, cache={"cache-control": "no-store"})


def seen_of(chart: Chart) -> dict[str, Seen]:
    trees = (chart.release.activation_tree, chart.release.release_tree)
    return {tree.path: Seen(tree.digest()) for tree in trees if tree is not None}


WELL = Look(named(2), False, CHART.release.release_tree.path, seen_of(CHART))
BEHIND = Look(named(1), False, BEFORE.release.release_tree.path, seen_of(BEFORE))


def damaged(path: str, content: bytes | None) -> Look:
    """A disk on which one file of the release is another, or none."""
    tree = CHART.release.release_tree
    files = {**tree.files}
    del files[path]
    if content is not None:
        files[path] = Hasher.of([content]).sha256
    changed = replace(tree, files=files)
    return replace(WELL, trees={**WELL.trees, tree.path: Seen(changed.digest(), tuple(changed.listing()))})


Answering = Callable[[Question], Reply | Silence]


def drain(name: str, confirmed: bool) -> Drain:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    problem = {} if confirmed else {"what": "the load balancer does not answer"}
    return Drain(3, "Production/web", name, named(2), "ann", "new disk", {}, at, "haproxy", at, problem=problem)


@dataclass
class Scene:
    """All is well until it is changed: by frontend what it answers, its disk, its standing; what the address gives."""

    answers: dict[str, Answering] = field(default_factory=dict)
    disks: dict[str, Look | Unseen] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    address: Answering = right
    open: Open | None = None
    asked: Asked | None = None
    more: dict[str, Any] = field(default_factory=dict)
    frontends: tuple[str, ...] = FRONTENDS
    questions: list[Question] = field(default_factory=lambda: list(QUESTIONS))

    def observations(self) -> Observations:
        seats = tuple(self._seat(name) for name in self.frontends)
        address = Visit("", URL, {q: self.address(q) for q in self.questions})
        made = Observations(address, seats, CHART.release, "Production/web", self.open, self.asked)
        return replace(made, **self.more)

    def _seat(self, name: str) -> Seat:
        answer, standing = self.answers.get(name, right), self.standings.get(name, Standing.SERVING)
        visit = Visit(name, f"http://{name}", {q: answer(q) for q in self.questions})
        drained = standing in (Standing.DRAINED, Standing.DOUBTED)
        mark = drain(name, standing is Standing.DRAINED) if drained else None
        return Seat(visit, self.disks.get(name, WELL), standing, mark)


def everywhere(answer: Answering) -> dict[str, Answering]:
    return dict.fromkeys(FRONTENDS, answer)


def only(kind: Kind, change: Callable[[Reply], Reply | Silence]) -> Answering:
    """Right answers, but for one kind of question."""
    return lambda q: change(right(q)) if q.kind is kind else right(q)


def cached(**headers: str) -> Callable[[Reply], Reply]:
    added = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda reply: replace(reply, cache={**reply.cache, **added})


SILENT = Silence("ConnectError: refused")


def silent(_: Question) -> Silence:
    return SILENT
