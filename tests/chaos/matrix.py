"""The whole matrix: sites, one for each database, and the runs on them, one after another."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.chaos.observers import Counts
from tests.chaos.points import Cell, Database, Deed, Point
from tests.chaos.run import Result, next_deployment, play
from tests.chaos.site import Site, site

#: A worker that dies here is one more takeover to measure.
MEASURED = Cell(Database.SQLITE, Deed.WORKER_KILLED, Point.ARMING)
#: What a takeover may take, in seconds, from the death of the coordinator to the worker that begins.
WANTED_SECONDS = 2.0


@dataclass
class Report:
    """What came of all runs. `extra` are those that only measured a takeover; `counts` are those of all clients."""

    results: list[Result] = field(default_factory=list)
    extra: list[Result] = field(default_factory=list)
    next_deployments: int = 0
    next_faults: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    findings: list[str] = field(default_factory=list)

    @property
    def runs(self) -> list[Result]:
        """All of them."""
        return [*self.results, *self.extra]

    @property
    def takeovers(self) -> list[float]:
        """Seconds from each coordinator's death to the start of its recovery."""
        return [result.takeover for result in self.runs if result.takeover is not None]

    @property
    def good(self) -> bool:
        """Everything was as it must be, and something was looked at."""
        runs = all(result.good for result in self.runs)
        return bool(self.runs) and runs and not self.next_faults and self.counts.clean

    def as_dict(self) -> dict[str, Any]:
        """As JSON carries it."""
        seconds = self.takeovers
        measured = {"min": min(seconds), "median": statistics.median(seconds), "max": max(seconds)} if seconds else {}
        return {
            "good": self.good,
            "runs": [result.as_dict() for result in self.results],
            "next_deployments": self.next_deployments,
            "next_faults": self.next_faults,
            "takeover_seconds": {"runs": len(seconds), **measured},
            "totals": {
                "runs": len(self.runs),
                "failed": sum(not result.good for result in self.runs),
                "checks": self.counts.checks,
                "torn": self.counts.torn,
                "backward": self.counts.backward,
                "errors": self.counts.errors,
                "mixed_fleets": sum(result.mixed for result in self.runs),
            },
            "findings": self.findings,
        }


class Matrix:
    """Plays cells. `say` hears of each run when it is over: how many there were, of how many, and the result."""

    def __init__(self, directory: Path, cells: Sequence[Cell], takeovers: int, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._cells = cells
        measured = sum(cell.deed is Deed.WORKER_KILLED and cell.point.led for cell in cells)
        self._extra = max(0, takeovers - measured)
        self._say = say
        self._sites = 0
        self.report = Report()

    def play(self) -> Report:
        """All runs, on as few sites as can be."""
        for database, cells in groupby(self._cells, lambda cell: cell.database):
            self._play(database, cells, self.report.results)
        self._play(MEASURED.database, [MEASURED] * self._extra, self.report.extra)
        return self.report

    def _play(self, database: Database, cells: Iterable[Cell], results: list[Result]) -> None:
        waiting = deque(cells)
        while waiting:
            self._sites += 1
            self._say(f"setting up a lab with its ledger on {database}")
            with site(self._directory / f"site-{self._sites}", database) as made:
                try:
                    self._play_on(made, waiting, results)
                finally:
                    self.report.counts = self.report.counts.plus(made.observers.counts())
                    self.report.findings += made.observers.findings()

    def _play_on(self, made: Site, waiting: deque[Cell], results: list[Result]) -> None:
        """Until all is played, or one run failed: what it left behind must not spoil the others."""
        while waiting:
            cell = waiting.popleft()
            result = play(made, cell)
            results.append(result)
            self._tell(result)
            if not result.good:
                return
            if not waiting or waiting[0].column != cell.column:
                self.report.next_deployments += 1
                faults = next_deployment(made)
                if faults:
                    self.report.next_faults += faults
                    self._say(f"after {cell.key}: {'; '.join(faults)}")
                    return

    def _tell(self, result: Result) -> None:
        over = f"{len(self.report.runs)}/{len(self._cells) + self._extra}"
        self._say(f"{over} {result.cell.key}: {result.summary}")


def chosen(only: Sequence[str], cells: Iterable[Cell]) -> list[Cell]:
    """Those whose key holds one of these texts; all where there is none."""
    return [cell for cell in cells if not only or any(text in cell.key for text in only)]
