"""One tool, one size of fleet: a fresh lab, its deployments one after another, every instrument around each of them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deploy.lab import Lab
from tests.bench import processes
from tests.bench.figures import UNCHANGED, Figures
from tests.bench.flips import Flips, skew_ms
from tests.bench.memory import Peak
from tests.bench.observers import Observers
from tests.bench.release import Release, wrong_files
from tests.bench.tools import Fleet, Step, Tool
from tests.bench.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Setting:
    """What all tools have in common: both releases, where labs may lie, and how many pages a second a client loads.

    `pause`: seconds for which the machine is watched before each deployment, with the observers on, to see what else
    it is busy with. What the tool's processes do for half as long after its command has ended counts as well, and the
    observers go on for as long again.
    """

    first: Release
    second: Release
    directory: Path
    rate: float = 10.0
    pause: float = 1.0


def measure(tool: Tool, frontends: int, setting: Setting) -> Generator[Figures, None, None]:
    """The figures of each of the tool's deployments, as they come. Raises where the tool fails."""
    scratch = setting.directory / "s"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with ExitStack() as stack:
        lab = stack.enter_context(Lab.up(setting.directory / "l", frontends, recipe=tool.recipe))
        traffic = stack.enter_context(Traffic(lab))
        fleet = stack.enter_context(tool.fleet(lab, scratch))
        rest = fleet.memory()
        for step in tool.steps(setting.first, setting.second):
            build = None if step.name == UNCHANGED else fleet.build(step.release)
            yield _Deployment(tool.name, lab, fleet, step, setting, traffic).measured(rest, build)


class _Deployment:
    """One deployment with its instruments."""

    def __init__(self, tool: str, lab: Lab, fleet: Fleet, step: Step, setting: Setting, traffic: Traffic) -> None:
        self._tool, self._lab, self._fleet, self._step = tool, lab, fleet, step
        self._setting, self._traffic = setting, traffic
        #: Whose CPU time is not the tool's.
        self._beside = [pid for pid in [lab.haproxy.pid] if pid is not None]

    def measured(self, rest: int | None, build: float | None) -> Figures:
        """Deploy, and tell what it cost. `rest` and `build`: see `Figures`."""
        # What the last deployment left for the disk to write is not this one's.
        os.sync()
        with ExitStack() as stack:
            flips = stack.enter_context(Flips([each.root for each in self._lab.frontends]))
            observers = self._observers(stack)
            self._beside += [flips.pid] if observers is None else [flips.pid, observers.pid]
            background = self._background()
            peak = stack.enter_context(Peak(self._fleet.memory))
            sent, busy, began = self._traffic.sent(), self._busy(), time.monotonic()
            deployed = self._fleet.deploy(self._step)
            time.sleep(self._setting.pause / 2)
            cpu, sent_after = self._busy() - busy, self._traffic.sent()
            time.sleep(self._setting.pause / 2)
        moved = None if sent is None or sent_after is None else sent_after - sent
        ours = {root: moment for root, moment in flips.times.items() if moment >= began}
        seen = None if observers is None else observers.seen
        return Figures(
            tool=self._tool,
            frontends=len(self._lab.frontends),
            release=self._step.name,
            release_bytes=self._step.release.size,
            wall_s=deployed.wall,
            cpu_all_s=cpu,
            cpu_controller_s=deployed.cpu,
            background=background,
            sent_bytes=None if moved is None else moved.controller,
            sent_ssh_bytes=None if moved is None else moved.ssh,
            skew_ms=skew_ms(ours),
            flipped=len(ours),
            at_once=flips.at_once,
            reported_skew_ms=deployed.reported_skew,
            pages=None if seen is None else seen.pages,
            torn=None if seen is None else seen.torn,
            backward=None if seen is None else seen.backward,
            errors=None if seen is None else seen.errors,
            wrong_files=self._wrong(),
            build_s=build,
            rest_kb=rest,
            peak_kb=peak.most,
        )

    def _observers(self, stack: ExitStack) -> Observers | None:
        """None at the first release: there is nothing to see before it."""
        previous = self._step.previous
        if previous is None:
            return None
        order = (previous.version, self._step.release.version)
        return stack.enter_context(Observers(self._lab.url, order, self._setting.rate))

    def _background(self) -> float:
        busy, began = self._busy(), time.monotonic()
        time.sleep(self._setting.pause)
        return (self._busy() - busy) / (time.monotonic() - began)

    def _busy(self) -> float:
        """CPU seconds of the machine without what is beside the tool, and without this process."""
        own = time.process_time()
        return processes.busy() - sum(processes.own(pid) for pid in self._beside) - own

    def _wrong(self) -> int:
        frontends: Sequence[Path] = [self._fleet.served(each) for each in self._lab.frontends]
        return sum(wrong_files(served, self._step.release) for served in frontends)
