"""What Lockstep is to reach, held against what was measured: pure, over the results of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.bench.figures import CHANGED, FULL, LOCKSTEP, UNCHANGED, WRONG, Results

#: Skews are told for the largest and the smallest of the usual fleets, in milliseconds.
SKEWS = {64: 8.0, 4: 1.0}
GROWTH = 1.3
FEW, MANY = 64, 1000


@dataclass(frozen=True, slots=True)
class Goal:
    """A number that is to be at most `wanted`; `found` is None where it was not measured."""

    name: str
    wanted: float
    found: float | None
    unit: str = ""

    @property
    def verdict(self) -> str:
        """``met``, ``missed by …`` or ``not measured``."""
        if self.found is None:
            return "not measured"
        if self.found <= self.wanted:
            return "met"
        if self.wanted == 0:
            return f"missed by {self.found:g}{self.unit}"
        return f"missed by {(self.found / self.wanted - 1) * 100:.0f} %"


def goals(results: Results, size: int, growth: float | None = None) -> list[Goal]:
    """All goals, at `size` frontends, and the smallest fleet's skew.

    `growth`: how much longer a deployment to `MANY` frontends takes than one to `FEW`, each frontend.
    """
    return [
        *_speed(results, size),
        *_cost(results, size),
        *_skew(results, size),
        *_clients(results),
        Goal(f"time a frontend, {MANY:,} of them over {FEW}", GROWTH, growth),
    ]


def peers_of(results: Results) -> list[str]:
    """The tools that are not Lockstep."""
    return [tool for tool in results.tools if tool != LOCKSTEP]


def ratio(results: Results, size: int, release: str, field: str, peer: str) -> float | None:
    """Lockstep's number over a peer's; None where one of them was not measured."""
    ours, theirs = (results.number(tool, size, release, field) for tool in (LOCKSTEP, peer))
    return ours / theirs if ours is not None and theirs else None


def _speed(results: Results, size: int) -> Iterator[Goal]:
    fastest = _least(results, size, FULL, "wall_s", min)
    yield Goal(f"full push, wall, over the fastest peer's{_named(fastest)}", 0.6, fastest[1])
    for peer in peers_of(results):
        wanted = 1.0 if peer == "rsync" else 1 / 3
        yield Goal(f"5 % changed, wall, over {peer}'s", wanted, ratio(results, size, CHANGED, "wall_s", peer))


def _cost(results: Results, size: int) -> Iterator[Goal]:
    def ours(release: str, field: str) -> float | None:
        return results.number(LOCKSTEP, size, release, field)

    yield Goal(
        "5 % changed, CPU of everything, over pyinfra's", 0.5, ratio(results, size, CHANGED, "cpu_all_s", "pyinfra")
    )
    sent, release = ours(FULL, "sent_bytes"), ours(FULL, "release_bytes")
    yield Goal("full push, bytes out of the controller, over the release's", 2.0, _over(sent, release))
    unchanged = ours(UNCHANGED, "cpu_all_s")
    yield Goal("nothing changed, CPU of everything, each frontend", 60.0, _over(unchanged, size, 1000), " ms")
    rest, peak = ours(CHANGED, "rest_kb"), ours(CHANGED, "peak_kb")
    grown = None if rest is None or peak is None else (peak - rest) / size
    yield Goal("memory of the coordinator, each armed frontend", 1000.0, grown, " kB")


def _skew(results: Results, size: int) -> Iterator[Goal]:
    for frontends, wanted in SKEWS.items():
        found = results.number(LOCKSTEP, frontends, CHANGED, "skew_ms")
        yield Goal(f"skew of the flip, {frontends} frontends", wanted, found, " ms")
    best = _least(results, size, CHANGED, "skew_ms", min)
    yield Goal(f"skew of the flip, over the best peer's{_named(best)}", 1 / 20, best[1])


def _clients(results: Results) -> Iterator[Goal]:
    for field in WRONG:
        numbers = [
            number
            for size in results.sizes
            for release in results.releases
            if (number := results.number(LOCKSTEP, size, release, field)) is not None
        ]
        yield Goal(f"{field.replace('_', ' ')}, all fleets", 0.0, sum(numbers) if numbers else None)


def _least(
    results: Results, size: int, release: str, field: str, choose: Callable[[Sequence[float]], float]
) -> tuple[str | None, float | None]:
    """The peer with the least of it, and Lockstep's over that peer's."""
    measured = {peer: results.number(peer, size, release, field) for peer in peers_of(results)}
    known = {peer: number for peer, number in measured.items() if number is not None}
    if not known:
        return None, None
    peer = next(name for name, number in known.items() if number == choose(list(known.values())))
    return peer, ratio(results, size, release, field, peer)


def _named(least: tuple[str | None, float | None]) -> str:
    return "" if least[0] is None else f" ({least[0]})"


def _over(number: float | None, other: float | None, factor: float = 1.0) -> float | None:
    return number * factor / other if number is not None and other else None
