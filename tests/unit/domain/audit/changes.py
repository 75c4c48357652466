"""Single changes of what is seen of a healthy fleet, each of which is wrong; as Hypothesis draws them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from orchestrator.domain.audit.expectation import INDEX, Ask
from orchestrator.domain.audit.observation import Answer, Balancer, Observation, Seen, State
from tests.unit.domain.audit import world as w

ELSEWHERE = ["8-" + "8" * 16, "7-" + "0" * 16, "4-" + "4" * 16]
HELD = [str(w.NAME), str(w.BEFORE)]
EXPECTED_NAMES = {w.OTA, w.TOKEN, w.OLD_TOKEN}
shas = st.sampled_from(["e" * 64, "f" * 64, "0" * 64])
frontends = st.sampled_from(list(w.ROTATION))
paths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=9)

STATES: list[Callable[[State], State]] = [
    lambda state: replace(state, current=""),
    lambda state: replace(state, fence=None),
    lambda state: replace(state, fence=w.NAME.epoch - 1),
    lambda state: replace(state, fence=w.PREPARED.epoch + 1),
    lambda state: replace(state, script="e" * 64),
    lambda state: replace(state, free=state.free - 1),
    lambda state: replace(state, offset=2.1),
    lambda state: replace(state, offset=-2.1),
    *(lambda state, name=name: replace(state, current=name) for name in ELSEWHERE),
    *(lambda state, name=name: replace(state, activations=state.activations | {name}) for name in ELSEWHERE),
    *(lambda state, name=name: replace(state, ahead=state.ahead | {name}) for name in ELSEWHERE),
    *(lambda state, name=name: replace(state, releases=state.releases - {name}) for name in w.STATE.releases),
    *(lambda state, name=name: replace(state, activations=state.activations - {name}) for name in HELD),
]  # fmt: skip


@st.composite
def lines(draw: st.DrawFn, path: str) -> tuple[str, ...]:
    """A listing with one line gone, changed, or more."""
    listing = list(w.TREES[path])
    kind = draw(st.sampled_from(["gone", "changed", "more", "mode", "type"]))
    if kind == "more" and path != INDEX:
        taken = {line.split("\t")[-1] if line[0] == "l" else line.split(" ", 3)[-1] for line in listing}
        name = draw(paths.filter(lambda name: name not in taken and "b" not in name))
        return (*listing, draw(st.sampled_from([f"f 0444 {'e' * 64} {name}", f"o fifo {name}", f"l ../x\t{name}"])))
    which = draw(st.sampled_from([line for line in listing if path != INDEX or line.split("\t")[-1] in EXPECTED_NAMES]))
    listing.remove(which)
    if path == INDEX and kind == "changed":
        return (*listing, f"l ../objects/{draw(shas)}\t{which.split(chr(9))[1]}")
    if kind == "gone" or not which.startswith("f "):
        return tuple(listing)
    _, mode, sha, name = which.split(" ", 3)
    if kind == "mode":
        mode = draw(st.sampled_from(["0644", "0400", "0000", "4444"]))
    elif kind == "type":
        return (*listing, f"o fifo {name}")
    else:
        sha = draw(shas)
    return (*listing, f"f {mode} {sha} {name}")


@st.composite
def answers(draw: st.DrawFn, ask: Ask) -> Answer:
    """A wrong answer, or none."""
    right = w.answered(ask)
    wrong = [
        Answer(500, right.activation, right.sha256),
        Answer(failure="time is over"),
        Answer(200, right.activation, draw(shas)),
    ]
    if ask.activation:
        wrong.append(replace(right, activation=draw(st.sampled_from(["", *ELSEWHERE]))))
    return draw(st.sampled_from(wrong))


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """One frontend with a single change."""
    name = draw(frontends)
    observed = w.observation(name)
    assert observed.state is not None
    part = draw(
        st.sampled_from(["state", "blind", "tree", "no tree", "answer", "no answer", "recipe", "mark", "health"])
    )
    if part in ("mark", "health") and name == "f4":
        part = "state"
    if part == "state":
        return replace(observed, state=draw(st.sampled_from(STATES))(observed.state))
    if part == "blind":
        return draw(st.sampled_from([Observation(name), replace(observed, state=None), replace(observed, health=None)]))
    if part == "tree":
        path = draw(st.sampled_from(list(w.TREES)))
        return replace(observed, trees=w.inspected({**w.TREES, path: draw(st.none() | lines(path))}))
    if part == "no tree":
        path = draw(st.sampled_from(list(w.TREES)))
        return replace(observed, trees=w.inspected({one: listing for one, listing in w.TREES.items() if one != path}))
    if part == "answer":
        ask = draw(st.sampled_from(w.ASKS))
        return replace(observed, answers={**w.ANSWERS, ask.key: draw(answers(ask))})
    if part == "no answer":
        gone = draw(st.sampled_from(list(w.ANSWERS)))
        return replace(observed, answers={key: answer for key, answer in w.ANSWERS.items() if key != gone})
    if part == "recipe":
        return replace(observed, recipe=draw(st.none() | shas))
    if part == "mark":
        return replace(observed, state=replace(observed.state, drained=not observed.state.drained))
    return replace(observed, health=draw(st.integers(100, 599).filter(lambda status: status != observed.health)))


@st.composite
def changed(draw: st.DrawFn) -> Seen:
    """The healthy fleet with a single change that is wrong."""
    where = draw(st.sampled_from(["frontend", "frontend", "frontend", "nobody", "balancer", "address"]))
    if where == "frontend":
        return w.with_frontend(draw(observations()))
    if where == "nobody":
        gone = draw(frontends)
        return replace(w.SEEN, frontends={name: seen for name, seen in w.SEEN.frontends.items() if name != gone})
    if where == "balancer":
        assert w.SEEN.balancer is not None
        sends = dict(w.SEEN.balancer.sends)
        name = draw(st.sampled_from(["f1", "f2", "f3"]))
        wrong = [None, Balancer(), Balancer(sends, "no socket"), Balancer({**sends, name: not sends[name]})]
        return replace(w.SEEN, balancer=draw(st.sampled_from(wrong)))
    ask = draw(st.sampled_from(w.EXPECTED.address))
    return replace(w.SEEN, address={**w.SEEN.address, ask.key: draw(answers(ask))})


@st.composite
def drifted(draw: st.DrawFn) -> Seen:
    """A fleet with any number of changes: each frontend is right, or has one."""
    seen = draw(changed() | st.just(w.SEEN))
    for observed in draw(st.lists(observations(), max_size=4)):
        seen = w.with_frontend(observed, seen)
    return seen


@st.composite
def blinded(draw: st.DrawFn, seen: Seen) -> Seen:
    """The same fleet at the same time, of which less is seen."""
    kept = {name: draw(_fewer(observed)) for name, observed in seen.frontends.items() if draw(st.integers(0, 3))}
    address = {key: answer for key, answer in seen.address.items() if draw(st.booleans())}
    return replace(seen, frontends=kept, address=address, balancer=draw(st.sampled_from([seen.balancer, None])))


@st.composite
def _fewer(draw: st.DrawFn, observed: Observation) -> Observation:
    return replace(
        observed,
        state=draw(st.sampled_from([observed.state, observed.state, None])),
        trees={path: listing for path, listing in observed.trees.items() if draw(st.integers(0, 3))},
        answers={key: answer for key, answer in observed.answers.items() if draw(st.integers(0, 5))},
        health=draw(st.sampled_from([observed.health, None])),
        recipe=draw(st.sampled_from([observed.recipe, None])),
    )
