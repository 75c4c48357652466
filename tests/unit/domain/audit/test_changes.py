"""Any single change of what is seen is found; and what closes is what was looked at and not found again."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.audit.coverage import Coverage
from orchestrator.domain.audit.drift import Drift, drift
from orchestrator.domain.audit.expectation import Standing
from orchestrator.domain.audit.finding import Finding, Kind, order
from orchestrator.domain.audit.history import history
from orchestrator.domain.audit.observation import Seen
from tests.unit.domain.audit import world as w
from tests.unit.domain.audit.changes import blinded, changed, drifted, frontends

few = settings(max_examples=150)
drifts = st.builds(lambda seen: drift(w.EXPECTED, seen), drifted())
standings = st.sampled_from(Standing)


@given(st.dictionaries(frontends, standings, min_size=1), st.booleans(), st.sampled_from([0, 7, 1000]))
@few
def test_no_difference_no_findings(rotation: dict[str, Standing], deep: bool, space: int) -> None:
    """Whoever is in rotation, or out of it: what is as the ledger says is right, as long as anybody serves."""
    expectation = replace(w.EXPECTED, rotation=rotation, deep=deep, space=space, balanced=False)
    seen = w.SEEN
    for name, standing in rotation.items():
        out = standing is Standing.DRAINED
        observed = replace(w.observation(name), state=replace(w.STATE, drained=out), health=503 if out else 200)
        seen = w.with_frontend(observed, seen)
    serving = any(standing.serves for standing in rotation.values())
    told = [(finding.kind, finding.path) for finding in drift(expectation, seen).findings]
    assert told == ([] if serving else [(Kind.UNSEEN, "manifests")])


@given(changed())
@settings(max_examples=400)
def test_any_single_change_is_found(seen: Seen) -> None:
    assert drift(w.EXPECTED, seen).findings


@given(drifts)
@few
def test_findings_are_in_order_each_once(result: Drift) -> None:
    assert list(result.findings) == sorted(result.findings, key=order)
    assert len({finding.identity for finding in result.findings}) == len(result.findings)


@given(drifts, drifts)
@few
def test_each_finding_is_in_one_place(before: Drift, now: Drift) -> None:
    told = history(before.findings, now.findings, now.coverage.settles)
    ids = [finding.identity for part in (told.opened, told.persisting, told.closed, told.unsettled) for finding in part]
    assert len(ids) == len(set(ids))
    assert set(ids) == {finding.identity for finding in (*before.findings, *now.findings)}
    assert {f.identity for f in (*told.opened, *told.persisting)} == {f.identity for f in now.findings}
    assert {f.identity for f in (*told.closed, *told.persisting, *told.unsettled)} == {
        finding.identity for finding in before.findings
    }
    assert set(now.findings) <= set(told.open)


@given(drifts, frontends)
@few
def test_an_unseen_frontend_closes_nothing(before: Drift, blind: str) -> None:
    seen = replace(w.SEEN, frontends={name: o for name, o in w.SEEN.frontends.items() if name != blind})
    now = drift(w.EXPECTED, seen)
    told = history(before.findings, now.findings, now.coverage.settles)
    # The load balancer was seen, and speaks for every frontend.
    closed = [f for f in told.closed if f.frontend == blind and f.kind is not Kind.ROTATION_BALANCER]
    assert [f for f in closed if (f.kind, f.path) != (Kind.UNSEEN, "load balancer")] == []


@given(drifts)
@few
def test_what_was_put_right_is_closed_by_the_next_audit_that_sees_all(before: Drift) -> None:
    now = drift(w.EXPECTED, w.SEEN)
    told = history(before.findings, now.findings, now.coverage.settles)
    assert told.closed == before.findings
    assert told.consistent


@given(drifts)
@few
def test_what_is_still_there_persists(before: Drift) -> None:
    told = history(before.findings, before.findings, before.coverage.settles)
    assert (told.opened, told.closed, told.unsettled) == ((), (), ())
    assert told.persisting == before.findings


@given(changed().flatmap(lambda seen: st.tuples(st.just(seen), blinded(seen))))
@settings(max_examples=400)
def test_what_is_still_there_is_never_closed_whatever_is_not_seen_of_it(seen: tuple[Seen, Seen]) -> None:
    before, now = (drift(w.EXPECTED, one) for one in seen)
    told = history(before.findings, now.findings, now.coverage.settles)
    assert told.closed == ()


def found(seen: Seen) -> Finding:
    [finding] = drift(w.EXPECTED, seen).findings
    return finding


def planted(path: str, frontend: str = "f1") -> Finding:
    """A changed file in a tree."""
    lines = w.TREES[path]
    other = [line if not line.startswith("f ") else f"f 0444 {'e' * 64} {line.split(' ', 3)[3]}" for line in lines[:1]]
    return found(w.with_tree(path, *other, *lines[1:], frontend=frontend))


def quick() -> Coverage:
    return drift(replace(w.EXPECTED, deep=False), w.SEEN).coverage


def test_an_audit_that_does_not_list_retained_trees_does_not_close_what_a_deep_one_found_in_them() -> None:
    assert quick().settles(planted(w.RELEASE))
    assert not quick().settles(planted(w.OLD_RELEASE))
    assert drift(w.EXPECTED, w.SEEN).coverage.settles(planted(w.OLD_RELEASE))


def test_a_tree_that_nobody_must_hold_any_more_has_no_findings() -> None:
    expectation = replace(w.EXPECTED, retained={}, past=frozenset(w.EXPECTED.retained) | w.EXPECTED.past)
    assert drift(expectation, w.SEEN).coverage.settles(planted(w.OLD_RELEASE))
    blind = replace(w.SEEN, frontends={})
    assert not drift(expectation, blind).coverage.settles(planted(w.OLD_RELEASE))


def test_a_frontend_that_left_the_fleet_has_no_findings() -> None:
    rotation = {name: standing for name, standing in w.ROTATION.items() if name != "f1"}
    assert drift(replace(w.EXPECTED, rotation=rotation), w.SEEN).coverage.settles(planted(w.RELEASE))


def test_a_tree_with_more_findings_than_are_told_closes_none() -> None:
    lines = [f"o fifo {number}" for number in range(200)]
    now = drift(w.EXPECTED, w.with_tree(w.RELEASE, *w.TREES[w.RELEASE], *lines))
    assert not now.coverage.settles(planted(w.RELEASE))
    assert now.coverage.settles(planted(w.RELEASE, "f2"))


def test_a_sample_closes_only_what_was_asked_for() -> None:
    [wrong] = drift(w.EXPECTED, w.with_answer(w.HASH, replace(w.answered(w.HASH), status=404))).findings
    fewer = {**w.EXPECTED.asks, "f1": (w.MANIFEST,)}
    sampled = drift(replace(w.EXPECTED, asks=fewer), w.SEEN).coverage
    assert not sampled.settles(wrong)
    assert drift(replace(w.EXPECTED, asks=fewer, sampled=False), w.SEEN).coverage.settles(wrong)
    assert drift(w.EXPECTED, w.SEEN).coverage.settles(wrong)


def test_a_split_is_closed_only_when_every_frontend_in_rotation_answered() -> None:
    split = drift(w.EXPECTED, w.with_answer(w.MANIFEST, replace(w.answered(w.MANIFEST), sha256=w.OLD))).findings[0]
    assert split.kind is Kind.FLEET_SPLIT
    for name, standing in w.ROTATION.items():
        seen = replace(w.SEEN, frontends={n: o for n, o in w.SEEN.frontends.items() if n != name})
        assert drift(w.EXPECTED, seen).coverage.settles(split) is not standing.serves
