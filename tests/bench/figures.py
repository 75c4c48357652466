"""What was measured of one tool, one size of fleet and one release; and a file of it, a JSON object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

#: The first release on empty frontends; the next, with 5 % of its files changed; one of which all is there already.
FULL, CHANGED, UNCHANGED = "full", "changed", "unchanged"
#: The tool that is no peer.
LOCKSTEP = "lockstep"


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds, bytes, milliseconds and kB, as the names say; None: not measured.

    `cpu_all_s` is that of the whole machine without the observers, their load balancer and the instruments;
    `background` how many cores were busy like that before, when nothing was deployed. `flipped`: frontends whose flip
    the instrument saw. `wrong_files`: on all frontends, of the release that should be there. `rest_kb` and `peak_kb`:
    the memory of Lockstep's workers without a connection, and its most during this deployment.
    """

    tool: str
    frontends: int
    release: str
    release_bytes: int
    wall_s: float
    cpu_all_s: float
    cpu_controller_s: float
    background: float
    sent_bytes: int | None
    sent_ssh_bytes: int | None
    skew_ms: float | None
    flipped: int
    at_once: bool
    reported_skew_ms: float | None
    pages: int | None
    torn: int | None
    backward: int | None
    errors: int | None
    wrong_files: int
    build_s: float | None = None
    rest_kb: int | None = None
    peak_kb: int | None = None


def append(file: Path, run: str, figures: Figures) -> None:
    """One more line. `run` names the run that it belongs to."""
    with file.open("a") as out:
        out.write(json.dumps({"run": run, **asdict(figures)}) + "\n")


def read(file: Path) -> list[Figures]:
    """Those of the file's last run."""
    documents = [json.loads(line) for line in file.read_text().splitlines() if line]
    if not documents:
        raise ValueError(f"{file}: no figures")
    names = [field.name for field in fields(Figures)]
    last = documents[-1]["run"]
    return [
        Figures(**{name: each[name] for name in names if name in each}) for each in documents if each["run"] == last
    ]


class Results:
    """The figures of a run, each tool's at each size and release once: of repeats, the one with the median wall time.

    What was seen wrong in any of them counts: torn, backward, errors and wrong files are the sums.
    """

    def __init__(self, measured: Iterable[Figures]) -> None:
        self._of: dict[tuple[str, int, str], list[Figures]] = {}
        for each in measured:
            self._of.setdefault((each.tool, each.frontends, each.release), []).append(each)

    @property
    def tools(self) -> list[str]:
        """Lockstep first, then the peers in the order in which they ran."""
        names = list(dict.fromkeys(tool for tool, _, _ in self._of))
        return sorted(names, key=lambda name: name != LOCKSTEP)

    @property
    def sizes(self) -> list[int]:
        """How many frontends there were, ascending."""
        return sorted({frontends for _, frontends, _ in self._of})

    @property
    def releases(self) -> list[str]:
        """The releases that were deployed."""
        found = {release for _, _, release in self._of}
        return [release for release in (FULL, CHANGED, UNCHANGED) if release in found]

    def find(self, tool: str, frontends: int, release: str) -> Figures | None:
        """One tool's, or None."""
        repeats = self._of.get((tool, frontends, release))
        return None if repeats is None else _middle(repeats)

    def number(self, tool: str, frontends: int, release: str, field: str) -> float | None:
        """One number of these figures: the median of its repeats, the sum of what was seen wrong; or None."""
        repeats = self._of.get((tool, frontends, release), ())
        values = [value for each in repeats if (value := getattr(each, field)) is not None]
        if not values:
            return None
        return float(sum(values) if field in WRONG else median(values))


#: Numbers of which any but 0 counts.
WRONG = ("torn", "backward", "errors", "wrong_files")


def _middle(repeats: Sequence[Figures]) -> Figures:
    return sorted(repeats, key=lambda each: each.wall_s)[(len(repeats) - 1) // 2]
