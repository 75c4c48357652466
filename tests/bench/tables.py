"""The results as text: the figures, the ratios, and the goals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.bench.figures import CHANGED, FULL, LOCKSTEP, UNCHANGED, Figures, Results
from tests.bench.goals import Goal, peers_of, ratio

NAMES = {FULL: "full", CHANGED: "5 % changed", UNCHANGED: "unchanged"}
COLUMNS = (
    "tool", "wall s", "CPU all s", "CPU controller s", "busy before", "MB out", "skew ms", "own skew ms",
    "pages", "torn", "backward", "errors", "wrong files",
)  # fmt: skip
RATIOS = ("wall_s", "cpu_all_s", "cpu_controller_s", "sent_bytes", "skew_ms")


def figures_table(results: Results) -> str:
    """Every figure: a table for each size of fleet and release."""
    return "\n\n".join(
        f"{size} frontends, {NAMES[release]}\n{_table(COLUMNS, rows)}"
        for size in results.sizes
        for release in results.releases
        if (rows := list(_rows(results, size, release)))
    )


def ratios_table(results: Results) -> str:
    """Lockstep's numbers over each peer's; below 1, Lockstep needs less."""
    rows = []
    for size in results.sizes:
        for release in results.releases:
            for peer in peers_of(results):
                found = [ratio(results, size, release, field, peer) for field in RATIOS]
                if any(number is not None for number in found):
                    rows.append([str(size), NAMES[release], peer, *(_number(number, 3) for number in found)])
    return _table(("frontends", "release", "over", "wall", "CPU all", "CPU controller", "bytes out", "skew"), rows)


def goals_table(goals: Sequence[Goal]) -> str:
    """Each goal, what was found, and whether it is met."""
    rows = [[each.name, f"<= {each.wanted:.3g}{each.unit}", _found(each), each.verdict] for each in goals]
    return _table(("goal", "wanted", "found", ""), rows, left=(0, 3))


def notes(results: Results) -> str:
    """What the tables leave out, and what has to be known to read them."""
    return "\n".join(_notes(results))


def line(figures: Figures) -> str:
    """One deployment, for whoever watches the run."""
    wrong = f", {figures.wrong_files} WRONG FILES" if figures.wrong_files else ""
    missed = figures.frontends - figures.flipped
    unseen = f", {missed} flips not seen" if missed else ""
    return (
        f"{figures.tool:10} {figures.frontends:3} frontends, {NAMES[figures.release]:11}: "
        f"{figures.wall_s:7.2f} s wall, {figures.cpu_all_s:7.2f} s CPU, skew {_number(figures.skew_ms, 2)} ms, "
        f"torn {_number(figures.torn, 0)}, backward {_number(figures.backward, 0)}{wrong}{unseen}"
    )


def _rows(results: Results, size: int, release: str) -> Iterator[list[str]]:
    for tool in results.tools:
        if results.find(tool, size, release) is not None:
            sent = results.number(tool, size, release, "sent_bytes")
            yield [
                tool,
                *(_number(results.number(tool, size, release, field), 2) for field in RATIOS[:3]),
                _number(results.number(tool, size, release, "background"), 2),
                _number(None if sent is None else sent / 1e6, 1),
                *(_number(results.number(tool, size, release, field), 2) for field in ("skew_ms", "reported_skew_ms")),
                *(
                    _number(results.number(tool, size, release, field), 0)
                    for field in ("pages", "torn", "backward", "errors", "wrong_files")
                ),
            ]


def _notes(results: Results) -> Iterator[str]:
    measured = [
        found
        for size in results.sizes
        for release in results.releases
        for tool in results.tools
        if (found := results.find(tool, size, release)) is not None
    ]
    if any(each.sent_bytes is None for each in measured):
        yield "bytes out: not counted; that needs root and nft"
    if not all(each.at_once for each in measured):
        yield "skew: the instrument could not run under SCHED_FIFO, and may have woken late"
    for each in measured:
        if each.flipped != each.frontends:
            where = f"{each.tool}, {each.frontends} frontends, {NAMES[each.release]}"
            yield f"{where}: a flip was seen on {each.flipped} of them"
    for each in measured:
        if each.tool == LOCKSTEP and each.build_s is not None:
            yield (
                f"lockstep, {each.frontends} frontends, {NAMES[each.release]}: building the release took "
                f"{each.build_s:.2f} s before, which is not in its wall time"
            )
    for each in measured:
        if each.rest_kb is not None and each.peak_kb is not None:
            grown = (each.peak_kb - each.rest_kb) / each.frontends
            yield (
                f"lockstep, {each.frontends} frontends, {NAMES[each.release]}: workers hold {each.rest_kb} kB at rest, "
                f"{each.peak_kb} kB at most: {grown:.0f} kB each frontend"
            )


def _found(goal: Goal) -> str:
    return "-" if goal.found is None else f"{goal.found:.3g}{goal.unit}"


def _number(number: float | None, digits: int) -> str:
    return "-" if number is None else f"{number:.{digits}f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    widths = [max(map(len, each)) for each in zip(columns, *rows, strict=True)]

    def text(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([text(columns), text(["-" * width for width in widths]), *map(text, rows)])
