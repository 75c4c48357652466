"""From the answers of a fleet to one verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.domain.activation import Placement
from orchestrator.domain.deployment import Outcome, Report, Step, Trouble
from orchestrator.domain.errors import Problem


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the whole fleet agreed, and if not, why."""

    troubles: tuple[Trouble, ...]

    @property
    def unanimous(self) -> bool:
        """Every frontend that was asked accepted, and there was at least one."""
        return not self.troubles


def verdict(step: Step, asked: Iterable[str], reports: Mapping[str, Report]) -> Verdict:
    """Unanimous only when every frontend that was `asked` accepted. Zero frontends agree to nothing."""
    names = sorted(asked)
    if not names:
        nobody = Problem("no frontend was asked", expected="at least one frontend in rotation", found="none")
        return Verdict((Trouble(step, "", nobody.as_dict()),))
    troubles = []
    for name in names:
        report = reports.get(name)
        if report is None:
            silent = Problem("no answer in time", where=name, expected=f"an answer to {step}", found="nothing")
            troubles.append(Trouble(step, name, silent.as_dict()))
        elif report.outcome is not Outcome.ACCEPTED:
            troubles.append(Trouble(step, name, report.problem))
    return Verdict(tuple(troubles))


def served_verdict(placements: Iterable[Placement], reports: Mapping[str, Report]) -> Verdict:
    """The fleet's verdict of verify: per app, the set of served digests has one member, the release's.

    Each report's detail carries ``served``: app -> the SHA-256 of the manifest's bytes as that frontend served them.
    """
    troubles = []
    for placement in placements:
        served = {name: _digest(report, placement.app) for name, report in reports.items()}
        if not served:
            nobody = Problem("no frontend served a manifest", where=placement.app, expected=placement.digest, found="")
            troubles.append(Trouble(Step.VERIFY, "", nobody.as_dict()))
        for name, digest in sorted(served.items()):
            if digest != placement.digest:
                other = Problem(
                    f"serves another manifest of {placement.app}",
                    where=name,
                    expected=placement.digest,
                    found=digest or "none",
                    remedy="see that its web server serves the root that the inventory names, then deploy again",
                )
                troubles.append(Trouble(Step.VERIFY, name, other.as_dict()))
    return Verdict(tuple(troubles))


def _digest(report: Report, app: str) -> str:
    served = report.detail.get("served")
    return str(served.get(app, "")) if isinstance(served, Mapping) else ""
