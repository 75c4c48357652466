"""What is done about a finding, for every kind and policy."""

from __future__ import annotations

from itertools import product

import pytest

from orchestrator.domain.audit.expectation import Standing
from orchestrator.domain.audit.finding import WORDS, Finding, Kind, Seriousness
from orchestrator.domain.audit.healing import MOST_HEALED, REMEDIES, Policy, Remedy, Treated, Treatment, treat

HEALABLE = {
    Kind.CURRENT_ELSEWHERE: Remedy.ACTIVATE,
    Kind.CURRENT_MISSING: Remedy.ACTIVATE,
    Kind.FENCE_BEHIND: Remedy.ACTIVATE,
    Kind.FILE_CHANGED: Remedy.STAGE,
    Kind.FILE_MISSING: Remedy.STAGE,
    Kind.FILE_TYPE: Remedy.STAGE,
    Kind.FILE_MODE: Remedy.STAGE,
    Kind.LINK_CHANGED: Remedy.STAGE,
    Kind.RELEASE_MISSING: Remedy.STAGE,
    Kind.ACTIVATION_MISSING: Remedy.STAGE,
    Kind.INDEX_CHANGED: Remedy.STAGE,
    Kind.SCRIPT_OUTDATED: Remedy.INSTALL,
}
FLAGS = list(product(Policy, Standing, [False, True], range(MOST_HEALED + 2)))


def finding(kind: Kind, seriousness: Seriousness | None = None, frontend: str = "f1") -> Finding:
    return Finding("web", frontend, kind, "p", "", "", seriousness or WORDS[kind].seriousness)


def treated(one: Finding, policy: Policy, standing: Standing, remove_extra: bool, healed: int = 0) -> Treated:
    [result] = treat([one], policy, {"f1": standing}, {one.identity: healed}, remove_extra=remove_extra)
    return result


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_under_every_policy(kind: Kind) -> None:
    for (policy, standing, remove_extra, healed), seriousness in product(FLAGS, Seriousness):
        remedy = Remedy.STAGE if kind is Kind.FILE_EXTRA and remove_extra else HEALABLE.get(kind)
        expected = Treatment.REPORT
        if standing is not Standing.DRAINED and policy is Policy.HEAL and remedy:
            expected = Treatment.HEAL if healed < 3 else Treatment.ESCALATE
        if standing is Standing.SERVING and policy is Policy.DRAIN and seriousness is Seriousness.CLIENTS:
            expected = Treatment.DRAIN
        one = finding(kind, seriousness)
        result = treated(one, policy, standing, remove_extra, healed)
        assert result == Treated(one, expected, remedy if expected is Treatment.HEAL else None)


def test_what_is_found_of_the_whole_fleet_is_reported() -> None:
    for policy, kind in product(Policy, Kind):
        [result] = treat([finding(kind, frontend="")], policy, {"f1": Standing.SERVING}, {}, remove_extra=True)
        assert result.treatment is Treatment.REPORT


def test_what_was_healed_elsewhere_or_of_another_kind_does_not_count() -> None:
    one, other = finding(Kind.FILE_CHANGED), finding(Kind.FILE_MISSING)
    results = treat([other, one], Policy.HEAL, {"f1": Standing.SERVING}, {other.identity: MOST_HEALED})
    assert [(r.finding.kind, r.treatment) for r in results] == [
        (Kind.FILE_CHANGED, Treatment.HEAL),
        (Kind.FILE_MISSING, Treatment.ESCALATE),
    ]


def test_every_kind_has_words_and_only_these_are_healed() -> None:
    assert set(WORDS) == set(Kind)
    assert set(REMEDIES) == {*HEALABLE, Kind.FILE_EXTRA}
