"""What HTTP answers: at each frontend's own address, in the fleet as a whole, and at the public address."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.audit import coverage as parts
from orchestrator.domain.audit.expectation import Ask
from orchestrator.domain.audit.finding import Finding, Kind
from orchestrator.domain.audit.observation import Answer, Observation, Seen
from orchestrator.domain.audit.place import Place
from orchestrator.domain.errors import LockstepError

_OK, _NOT_FOUND = 200, 404


def right(ask: Ask, answer: Answer) -> bool:
    """Whether that is what must come back."""
    if ask.activation and answer.activation != ask.activation:
        return False
    if ask.sha256 is None:
        return answer.status == _NOT_FOUND
    return answer.status == _OK and answer.sha256 == ask.sha256


def _wanted(ask: Ask) -> str:
    content = "status 404" if ask.sha256 is None else f"SHA-256 {ask.sha256}"
    return f"{content} from activation {ask.activation}" if ask.activation else content


def _came(ask: Ask, answer: Answer) -> str:
    content = f"SHA-256 {answer.sha256}" if answer.status == _OK else f"status {answer.status}"
    return f"{content} from activation {answer.activation or '(not named)'}" if ask.activation else content


def served_findings(place: Place, observed: Observation) -> Iterator[Finding]:
    """What a frontend answers at its own address. Whatever did not answer is one finding: `unseen`."""
    silent = 0
    asks = place.expectation.asks.get(place.frontend, ())
    for ask in asks:
        answer = observed.answers.get(ask.key)
        if answer is None or answer.failure:
            silent += 1
            continue
        place.cover(parts.answer_part(ask.key))
        if not right(ask, answer):
            yield place.finding(ask.kind, ask.key, _wanted(ask), _came(ask, answer))
    if asks and not silent and observed.health is not None:
        place.cover(parts.HTTP)
        return
    reason = observed.reasons.get(parts.HTTP) or place.failure(observed) or "nobody has asked"
    counted = f"{reason} ({silent} of {len(asks)} requests not answered)" if silent else reason
    yield place.unseen(parts.HTTP, counted)


def place_findings(place: Place, observed: Observation) -> Iterator[Finding]:
    """Whether the root is what is served."""
    ask = place.expectation.marking()
    answer = observed.answers.get(ask.key)
    if answer is None or answer.failure:
        # Without a shell there is no mark, and a web server that says nothing does not show it: that is told already.
        heard = any(not each.failure for each in observed.answers.values())
        if place.expectation.place and observed.state is not None and heard:
            yield place.unseen(ask.key, "the mark could not be left" if answer is None else answer.failure)
        return
    place.cover(parts.answer_part(ask.key))
    if not right(ask, answer):
        yield place.finding(ask.kind, ask.key, "the mark that this audit left below the root", _came(ask, answer))


def split_findings(fleet: Place, seen: Seen) -> Iterator[Finding]:
    """Whether those in rotation serve one set of manifests. None seen is not agreement; drained ones do not count."""
    expectation = fleet.expectation
    serving = [name for name, standing in expectation.rotation.items() if standing.serves]
    sets: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for frontend in sorted(serving):
        digests = _digests(expectation.asks.get(frontend, ()), seen.frontends.get(frontend))
        if digests:
            sets[digests].append(frontend)
    if not sets:
        reason = "no frontend in rotation answered with a manifest" if serving else "no frontend is in rotation"
        yield fleet.unseen(parts.MANIFESTS, reason)
        return
    if sum(map(len, sets.values())) == len(serving):
        fleet.cover(parts.MANIFESTS)
    if len(sets) > 1:
        found = "; ".join(f"{', '.join(names)}: {_told(digests)}" for digests, names in sets.items())
        yield fleet.finding(Kind.FLEET_SPLIT, "", "one set of manifests", found)


def _digests(asks: tuple[Ask, ...], observed: Observation | None) -> tuple[tuple[str, str], ...]:
    """App and digest of every manifest of the frontend; empty unless all of them came back."""
    manifests = sorted((ask.app, ask.key) for ask in asks if ask.kind is Kind.MANIFEST_SERVED)
    answers = {} if observed is None else observed.answers
    digests = []
    for app, key in manifests:
        answer = answers.get(key)
        if answer is None or answer.failure:
            return ()
        digests.append((app, answer.sha256 if answer.status == _OK else f"status {answer.status}"))
    return tuple(digests)


def _told(digests: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{app} {digest}" for app, digest in digests)


def address_findings(fleet: Place, answers: Mapping[str, Answer]) -> Iterator[Finding]:
    """What the public address answers, through the load balancer and whatever else is before the frontends."""
    silent = []
    for ask in fleet.expectation.address:
        answer = answers.get(ask.key)
        if answer is None or answer.failure:
            silent.append("nobody has asked" if answer is None else answer.failure)
            continue
        fleet.cover(parts.answer_part(ask.key))
        if not right(ask, answer):
            kind = Kind.ADDRESS_OLD if _is_old(fleet, answer) else Kind.ADDRESS_CHANGED
            yield fleet.finding(kind, ask.key, _wanted(ask), _found(fleet, ask, answer))
    if silent:
        asked = len(fleet.expectation.address)
        found = f"{silent[0]} ({len(silent)} of {asked} requests not answered)"
        yield fleet.finding(Kind.ADDRESS_UNSEEN, "", "an answer", found)
    else:
        fleet.cover(parts.ADDRESS)


def _is_old(fleet: Place, answer: Answer) -> bool:
    if answer.status == _OK and answer.sha256 in fleet.expectation.older:
        return True
    try:
        return ActivationName.parse(answer.activation) < fleet.expectation.name
    except LockstepError:
        return False


def _found(fleet: Place, ask: Ask, answer: Answer) -> str:
    name = fleet.expectation.older.get(answer.sha256) if answer.status == _OK else None
    return f"{_came(ask, answer)}, which activation {name} answered" if name else _came(ask, answer)
