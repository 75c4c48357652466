"""What was seen held against what should be: findings, in the order of a report. Pure; docs/audits.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.domain.audit import coverage as parts
from orchestrator.domain.audit.coverage import Coverage
from orchestrator.domain.audit.disk import tree_findings
from orchestrator.domain.audit.expectation import CLOCK_SECONDS, Expectation, Standing
from orchestrator.domain.audit.finding import Finding, Kind, order
from orchestrator.domain.audit.observation import Observation, Seen, State
from orchestrator.domain.audit.over_http import address_findings, place_findings, served_findings, split_findings
from orchestrator.domain.audit.place import Place

#: The health answer of a frontend, and its status in and out of rotation.
HEALTH = "/-/lockstep/health"
_HEALTH_STATUS = {Standing.SERVING: 200, Standing.DRAINED: 503}
#: What a frontend holds before its first deployment.
_NOTHING = "0-0000000000000000"


@dataclass(frozen=True, slots=True)
class Drift:
    """The findings of one audit, in the order of a report, and what it looked at."""

    findings: tuple[Finding, ...]
    coverage: Coverage


def drift(expectation: Expectation, seen: Seen) -> Drift:
    """Compare. What nobody saw is a finding of its own, `unseen`: it never counts as agreement."""
    found: list[Finding] = []
    covered: set[tuple[str, str]] = set()
    for frontend in expectation.rotation:
        place = Place(expectation, frontend, covered)
        found += _frontend(place, seen.frontends.get(frontend) or Observation(frontend))
    fleet = Place(expectation, "", covered)
    found += split_findings(fleet, seen)
    found += _balancer(fleet, seen)
    found += address_findings(fleet, seen.address)
    looked = parts.coverage(
        covered,
        expectation.rotation,
        expectation.held_trees(),
        sampled=expectation.sampled,
        obsolete=expectation.obsolete,
    )
    # One of each identity: a release that is gone is missing in the state and in the listing.
    once = {finding.identity: finding for finding in found}
    return Drift(tuple(sorted(once.values(), key=order)), looked)


def _frontend(place: Place, observed: Observation) -> Iterator[Finding]:
    if observed.blank:
        reason = observed.reasons.get(parts.SHELL) or observed.reasons.get(parts.HTTP) or place.failure(observed)
        yield place.unseen("", reason)
        return
    place.cover(parts.ANYTHING)
    if observed.state is None:
        yield place.unseen(parts.SHELL, observed.reasons.get(parts.SHELL, ""))
    else:
        place.cover(parts.SHELL)
        yield from _state(place, observed.state)
    yield from tree_findings(place, observed)
    yield from served_findings(place, observed)
    yield from place_findings(place, observed)
    yield from _health(place, observed.health)
    yield from _recipe(place, observed)


def _state(place: Place, state: State) -> Iterator[Finding]:
    wanted = place.expectation
    name, current = str(wanted.name), state.current
    if current in {"", _NOTHING}:
        yield place.finding(Kind.CURRENT_MISSING, "current", name, "no activation")
    elif current != name:
        yield place.finding(Kind.CURRENT_ELSEWHERE, "current", name, current)
    yield from _fence(place, state.fence)
    yield from _held(place, state)
    if state.script != wanted.script:
        yield place.finding(Kind.SCRIPT_OUTDATED, "", f"SHA-256 {wanted.script}", f"SHA-256 {state.script}")
    if state.free < wanted.space:
        yield place.finding(Kind.SPACE_LOW, "", f"{wanted.space} bytes free or more", f"{state.free} bytes")
    if state.offset is not None and abs(state.offset) - state.uncertainty > CLOCK_SECONDS:
        found = f"{abs(state.offset):.1f} s {'ahead' if state.offset > 0 else 'behind'}"
        yield place.finding(Kind.CLOCK_APART, "", f"at most {CLOCK_SECONDS:g} s apart", found)
    if place.standing is not Standing.DRAINING and state.drained is place.standing.serves:
        words = {True: "drained", False: "not drained"}
        mark = parts.DRAINED_MARK
        yield place.finding(Kind.ROTATION_HEALTH, mark, words[not state.drained], words[state.drained])


def _fence(place: Place, fence: int | None) -> Iterator[Finding]:
    lowest, highest = place.expectation.name.epoch, place.expectation.epoch
    found = "no fence" if fence is None else f"epoch {fence}"
    if fence is None or fence < lowest:
        yield place.finding(Kind.FENCE_BEHIND, "state/fence", f"epoch {lowest} or later", found)
    elif fence > highest:
        yield place.finding(Kind.FENCE_AHEAD, "state/fence", f"epoch {highest} or earlier", found)


def _held(place: Place, state: State) -> Iterator[Finding]:
    """What must be there, by what the frontend says of itself; and what nobody needs."""
    wanted = place.expectation
    for path in wanted.held_trees():
        top, _, name = path.partition("/")
        if name not in (state.activations if top == "activations" else state.releases):
            yield place.gone(path)
    opened = {str(name) for name in wanted.open}
    allowed = opened | {_NOTHING, *(str(name) for name in (wanted.name, *wanted.retained, *wanted.past))}
    for path, found in (
        *((f"activations/{name}", "an activation") for name in state.activations - allowed),
        *((f"ahead/{name}", "a mark that it is staged") for name in state.ahead - opened),
    ):
        yield place.finding(Kind.ACTIVATION_UNFINISHED, path, "nothing", found)


def _health(place: Place, health: int | None) -> Iterator[Finding]:
    if health is None:
        return  # `served_findings` says that nobody saw it.
    place.cover(parts.HEALTH)
    status = _HEALTH_STATUS.get(place.standing)
    if status is not None and health != status:
        yield place.finding(Kind.ROTATION_HEALTH, HEALTH, f"status {status}: {place.standing}", f"status {health}")


def _recipe(place: Place, observed: Observation) -> Iterator[Finding]:
    if observed.recipe is None:
        # The script tells it with all else of its state: who did not see that has said so.
        if observed.state is not None:
            yield place.unseen(parts.RECIPE, observed.reasons.get(parts.RECIPE, ""))
        return
    place.cover(parts.RECIPE)
    # Where there is none, whoever looks after the web server has it elsewhere.
    if observed.recipe and observed.recipe != observed.recipe_wanted:
        known = observed.recipe_wanted
        expected = f"SHA-256 {known}" if known else "a recipe of this Lockstep, with its options"
        yield place.finding(Kind.RECIPE_OUTDATED, "", expected, f"SHA-256 {observed.recipe}")


def _balancer(fleet: Place, seen: Seen) -> Iterator[Finding]:
    expectation, balancer = fleet.expectation, seen.balancer
    if not expectation.balanced:
        for frontend in ("", *expectation.rotation):
            fleet.at(frontend).cover(parts.BALANCER)
        return
    if balancer is None or balancer.reason or not balancer.sends:
        yield fleet.unseen(parts.BALANCER, "" if balancer is None else balancer.reason)
        return
    fleet.cover(parts.BALANCER)
    for frontend in expectation.rotation:
        yield from _balanced(fleet.at(frontend), balancer.sends.get(frontend))


def _balanced(place: Place, sends: bool | None) -> Iterator[Finding]:
    if sends is None:
        yield place.unseen(parts.BALANCER, "the load balancer does not know this frontend")
        return
    place.cover(parts.BALANCER)
    if place.standing is not Standing.DRAINING and sends is not place.standing.serves:
        words = {True: "clients are sent to it", False: "no client is sent to it"}
        expected = f"{words[not sends]}: {place.standing}"
        yield place.finding(Kind.ROTATION_BALANCER, "", expected, words[sends], reached=sends)
