"""A fleet in which everything is as it should be: what is expected of it, and what is then seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.audit.expectation import INDEX, Ask, Expectation, Standing
from orchestrator.domain.audit.finding import Kind
from orchestrator.domain.audit.observation import (
    Answer,
    Balancer,
    InspectedFile,
    InspectedTree,
    Observation,
    Seen,
    State,
)
from orchestrator.domain.layout import Layout, Tree

FLEET = "web"
NAME, BEFORE, PREPARED = (ActivationName(epoch, f"{epoch:x}" * 16) for epoch in (7, 5, 9))
NEW, OLD = "a" * 64, "b" * 64
RELEASE, OLD_RELEASE = f"releases/ToDo/{NEW}", f"releases/ToDo/{OLD}"
ACTIVATION, OLD_ACTIVATION = f"activations/{NAME}", f"activations/{BEFORE}"
INDEX_HTML, APP_JS, LOGO, DOCUMENT, INFO, OTHER = (letter * 64 for letter in "123456")
SCRIPT, RECIPE = "c" * 64, "d" * 64
#: An OTA hash, and a version token.
OTA, TOKEN, OLD_TOKEN = "A" * 22, "T" * 22, "O" * 22

LAYOUT = Layout(
    Tree(ACTIVATION, {"-/activation.json": DOCUMENT}, {"a b": f"../../{RELEASE}", "b": f"../../{RELEASE}/b"}),
    (Tree(RELEASE, {"index.html": INDEX_HTML, "js/app ü.js": APP_JS, "logo.png": LOGO}, {}),),
    {OTA: APP_JS, TOKEN: INFO},
    {},
)
OLD_LAYOUT = Layout(
    Tree(OLD_ACTIVATION, {"-/activation.json": OTHER}, {"ToDo": f"../../{OLD_RELEASE}"}),
    (Tree(OLD_RELEASE, {"index.html": OTHER}, {}),),
    {OLD_TOKEN: OTHER},
    {},
)

VERSION = Ask(Kind.DOCUMENT_SERVED, "/ToDo/moduleservices/moduleversioninfo", DOCUMENT, str(NAME))
MANIFEST = Ask(Kind.MANIFEST_SERVED, "/-/lockstep/manifest/ToDo", NEW, app="ToDo")
ENTRY = Ask(Kind.FILE_SERVED, "/ToDo/", INDEX_HTML, str(NAME), accept="text/html")
FILE = Ask(Kind.FILE_SERVED, "/ToDo/logo.png", LOGO, str(NAME))
HASH = Ask(Kind.HASH_SERVED, f"/ToDo/app.js?{OTA}", APP_JS)
NATIVE = Ask(Kind.DOCUMENT_SERVED, VERSION.url, None, native=True)
ASKS = (VERSION, MANIFEST, ENTRY, FILE, HASH, NATIVE)
ROTATION = {"f1": Standing.SERVING, "f2": Standing.SERVING, "f3": Standing.DRAINED, "f4": Standing.DRAINING}

EXPECTED = Expectation(
    fleet=FLEET,
    rotation=ROTATION,
    name=NAME,
    epoch=PREPARED.epoch,
    layout=LAYOUT,
    retained={BEFORE: OLD_LAYOUT},
    open=frozenset({PREPARED}),
    past=frozenset({ActivationName(3, "3" * 16)}),
    deep=True,
    script=SCRIPT,
    space=1000,
    asks=dict.fromkeys(ROTATION, ASKS),
    address=(VERSION, HASH),
    older={OTHER: str(BEFORE)},
    balanced=True,
)
STATE = State(
    script=SCRIPT,
    current=str(NAME),
    fence=NAME.epoch,
    drained=False,
    free=1000,
    offset=0.0,
    activations=frozenset({str(NAME), str(BEFORE), str(PREPARED), "0-" + "0" * 16, "3-" + "3" * 16}),
    releases=frozenset({f"ToDo/{NEW}", f"ToDo/{OLD}"}),
    ahead=frozenset({str(PREPARED)}),
)


def listed(tree: Tree) -> tuple[str, ...]:
    """The tree as a frontend's script lists it."""
    files = [f"f 0444 {sha} {path}" for path, sha in tree.files.items()]
    return tuple(sorted([*files, *(f"l {target}\t{path}" for path, target in tree.links.items())]))


def inspected_tree(lines: Iterable[str]) -> InspectedTree:
    """A tree from these lines, which have the form of the script's, but that any path may come in them."""
    files, links, others = {}, {}, {}
    for line in lines:
        kind, rest = line.split(" ", 1)
        if kind == "f":
            mode, sha, path = rest.split(" ", 2)
            files[path] = InspectedFile(int(mode, 8), sha.replace("-", ""))
        elif kind == "l":
            target, path = rest.split("\t", 1)
            links[path] = target
        else:
            what, path = rest.split(" ", 1)
            others[path] = what
    return InspectedTree(files, links, others)


def inspected(trees: Mapping[str, Iterable[str] | None]) -> dict[str, InspectedTree | None]:
    """Trees from their lines; None stays None."""
    return {path: None if lines is None else inspected_tree(lines) for path, lines in trees.items()}


TREES = {
    **{tree.path: listed(tree) for layout in (LAYOUT, OLD_LAYOUT) for tree in (layout.activation, *layout.releases)},
    # One more than is asked for: it goes with a release that is removed.
    INDEX: tuple(
        f"l ../objects/{sha}\t{name}" for name, sha in [(OTA, APP_JS), (TOKEN, INFO), (OLD_TOKEN, OTHER), ("x", NEW)]
    ),
}


def answered(ask: Ask) -> Answer:
    """The right answer."""
    return Answer(404, ask.activation) if ask.sha256 is None else Answer(200, ask.activation, ask.sha256)


ANSWERS = {ask.key: answered(ask) for ask in ASKS}


def observation(frontend: str) -> Observation:
    """A frontend where all is as it should be."""
    drained = ROTATION[frontend] is Standing.DRAINED
    state = replace(STATE, drained=drained)
    return Observation(frontend, state, inspected(TREES), ANSWERS, 503 if drained else 200, RECIPE, RECIPE)


SEEN = Seen(
    {name: observation(name) for name in ROTATION},
    Balancer({"f1": True, "f2": True, "f3": False, "f4": True}),
    {ask.key: answered(ask) for ask in EXPECTED.address},
)


def with_frontend(observed: Observation, seen: Seen = SEEN) -> Seen:
    """The fleet as `seen`, but this frontend."""
    return replace(seen, frontends={**seen.frontends, observed.frontend: observed})


def with_tree(path: str, *lines: str, frontend: str = "f1") -> Seen:
    """One frontend lists one tree otherwise."""
    observed = observation(frontend)
    return with_frontend(replace(observed, trees={**observed.trees, path: inspected_tree(lines)}))


def with_answer(ask: Ask, answer: Answer, frontend: str = "f1") -> Seen:
    """One frontend answers one request otherwise."""
    observed = observation(frontend)
    return with_frontend(replace(observed, answers={**observed.answers, ask.key: answer}))


def with_state(state: State, frontend: str = "f1") -> Seen:
    """One frontend says otherwise of itself."""
    return with_frontend(replace(observation(frontend), state=state))
