"""Which findings may be put right, by which policy, and how often. Pure; docs/audits.md, "Healing"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.audit.expectation import Standing
from orchestrator.domain.audit.finding import Finding, Identity, Kind, Seriousness, order

#: What was healed so often and came back is somebody's to look at: it is not healed once more.
MOST_HEALED = 3


class Policy(StrEnum):
    """What a fleet wants done about findings. Each does only what its name says."""

    REPORT = "report"
    #: Put right what can be put right from here.
    HEAL = "heal"
    #: Take a frontend out of rotation where clients see what is wrong, and leave it as it is for whoever looks.
    DRAIN = "drain"


class Remedy(StrEnum):
    """How a kind is put right."""

    #: Trees and look-up by hash, by hard links and rename.
    STAGE = "stage"
    #: `current` and the fence, under the epoch of what is committed.
    ACTIVATE = "activate"
    #: The frontend script.
    INSTALL = "install"


class Treatment(StrEnum):
    """What is done about one finding now."""

    REPORT = "report"
    HEAL = "heal"
    DRAIN = "drain"
    #: Healed again and again: a person has to look.
    ESCALATE = "escalate"


REMEDIES: Mapping[Kind, Remedy] = {
    **dict.fromkeys(
        (
            Kind.FILE_CHANGED,
            Kind.FILE_MISSING,
            Kind.FILE_EXTRA,
            Kind.FILE_TYPE,
            Kind.FILE_MODE,
            Kind.LINK_CHANGED,
            Kind.RELEASE_MISSING,
            Kind.ACTIVATION_MISSING,
            Kind.INDEX_CHANGED,
        ),
        Remedy.STAGE,
    ),
    **dict.fromkeys((Kind.CURRENT_ELSEWHERE, Kind.CURRENT_MISSING, Kind.FENCE_BEHIND), Remedy.ACTIVATE),
    Kind.SCRIPT_OUTDATED: Remedy.INSTALL,
}


@dataclass(frozen=True, slots=True)
class Treated:
    """A finding, what is done about it, and how, where it is healed."""

    finding: Finding
    treatment: Treatment
    remedy: Remedy | None = None


def treat(
    findings: Iterable[Finding],
    policy: Policy,
    rotation: Mapping[str, Standing],
    healed: Mapping[Identity, int],
    *,
    remove_extra: bool = False,
) -> tuple[Treated, ...]:
    """What is to be done about each finding, in the order of a report.

    `healed` counts how often each was healed and came back. A drained frontend is left alone: its readmission puts
    everything right. How many frontends may be out at once is for whoever drains to keep to.
    """
    return tuple(
        _treated(finding, policy, rotation, healed.get(finding.identity, 0), remove_extra)
        for finding in sorted(findings, key=order)
    )


def _treated(
    finding: Finding, policy: Policy, rotation: Mapping[str, Standing], healed: int, remove_extra: bool
) -> Treated:
    standing = rotation.get(finding.frontend)
    if standing is None or not standing.serves:
        return Treated(finding, Treatment.REPORT)
    if policy is Policy.DRAIN and finding.seriousness is Seriousness.CLIENTS and standing is Standing.SERVING:
        return Treated(finding, Treatment.DRAIN)
    remedy = REMEDIES.get(finding.kind)
    if policy is not Policy.HEAL or remedy is None or (finding.kind is Kind.FILE_EXTRA and not remove_extra):
        return Treated(finding, Treatment.REPORT)
    if healed >= MOST_HEALED:
        return Treated(finding, Treatment.ESCALATE)
    return Treated(finding, Treatment.HEAL, remedy)
