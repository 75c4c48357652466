"""A fleet agrees only where every frontend that was asked accepted, and serves the release's manifest."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.activation import Placement
from orchestrator.domain.deployment import Outcome, Report, Step
from orchestrator.domain.verdict import served_verdict, verdict

FRONTENDS = [f"f{number}" for number in range(6)]
DIGESTS = ["a" * 64, "b" * 64, "c" * 64, ""]

frontends = st.sets(st.sampled_from(FRONTENDS))
outcomes = st.dictionaries(st.sampled_from(FRONTENDS), st.sampled_from(Outcome))
steps = st.sampled_from(Step)


def reports_of(step: Step, answers: Mapping[str, Outcome]) -> dict[str, Report]:
    """A report of each frontend; what is wrong says whose it is."""
    return {
        name: Report(name, step, 1, outcome, problem={} if outcome is Outcome.ACCEPTED else {"what": f"no: {name}"})
        for name, outcome in answers.items()
    }


@given(steps, frontends, outcomes)
def test_unanimous_is_every_frontend_that_was_asked_and_at_least_one(
    step: Step, asked: set[str], answers: dict[str, Outcome]
) -> None:
    agreed = verdict(step, asked, reports_of(step, answers))
    accepted = [name for name in asked if answers.get(name) is Outcome.ACCEPTED]
    assert agreed.unanimous == (bool(asked) and len(accepted) == len(asked))


@given(steps, frontends, outcomes)
def test_every_frontend_that_did_not_accept_is_a_trouble_in_the_order_of_names(
    step: Step, asked: set[str], answers: dict[str, Outcome]
) -> None:
    troubles = verdict(step, asked, reports_of(step, answers)).troubles
    expected = sorted(name for name in asked if answers.get(name) is not Outcome.ACCEPTED)
    assert [trouble.frontend for trouble in troubles] == (expected if asked else [""])
    assert {trouble.step for trouble in troubles} <= {step.value}
    for trouble in troubles:
        silent = trouble.frontend not in answers
        assert (trouble.problem["what"] == f"no: {trouble.frontend}") == (bool(asked) and not silent)
        if silent and asked:
            assert trouble.problem["found"] == "nothing"
            assert trouble.problem["where"] == trouble.frontend


@given(steps, frontends.map(sorted).flatmap(st.permutations), outcomes)
def test_the_verdict_depends_on_no_order(step: Step, asked: list[str], answers: dict[str, Outcome]) -> None:
    reports = reports_of(step, answers)
    turned = {name: reports[name] for name in reversed(reports)}
    assert verdict(step, asked, turned) == verdict(step, sorted(asked), reports)


@given(steps, outcomes)
def test_zero_frontends_agree_to_nothing(step: Step, answers: dict[str, Outcome]) -> None:
    agreed = verdict(step, [], reports_of(step, answers))
    assert not agreed.unanimous
    [trouble] = agreed.troubles
    assert (trouble.step, trouble.frontend) == (step, "")


placements = st.lists(
    st.builds(
        lambda app, digest: Placement(app, f"/{app}/", "1", digest),
        st.sampled_from(["ToDo", "Shop", "News"]),
        st.sampled_from(DIGESTS[:2]),
    ),
    unique_by=lambda placement: placement.app,
    max_size=3,
)
served = st.dictionaries(
    st.sampled_from(FRONTENDS[:3]),
    st.none() | st.dictionaries(st.sampled_from(["ToDo", "Shop", "News"]), st.sampled_from(DIGESTS)),
)


def serving(answers: Mapping[str, Mapping[str, str] | None]) -> dict[str, Report]:
    """Reports of verify: of each frontend what it served, or no word of it."""
    return {
        name: Report(name, Step.VERIFY, 1, Outcome.ACCEPTED, {} if apps is None else {"served": apps})
        for name, apps in answers.items()
    }


@given(placements, served)
def test_the_fleet_serves_one_digest_of_every_app_and_it_is_the_release_s(
    asked: list[Placement], answers: dict[str, dict[str, str] | None]
) -> None:
    agreed = served_verdict(asked, serving(answers))
    sets = [{(apps or {}).get(placement.app, "") for apps in answers.values()} for placement in asked]
    wanted = [{placement.digest} for placement in asked]
    assert agreed.unanimous == (sets == wanted)


@given(placements, served)
def test_every_frontend_that_serves_another_manifest_is_named_with_it(
    asked: list[Placement], answers: dict[str, dict[str, str] | None]
) -> None:
    troubles = served_verdict(asked, serving(answers)).troubles
    wrong = [
        (name, placement.digest, (answers[name] or {}).get(placement.app) or "none")
        for placement in asked
        for name in sorted(answers)
        if (answers[name] or {}).get(placement.app) != placement.digest
    ]
    nobody = [("", placement.digest, "") for placement in asked if not answers]
    assert [(t.frontend, t.problem["expected"], t.problem["found"]) for t in troubles] == wrong + nobody
    assert all(trouble.step == "verify" for trouble in troubles)


def test_a_digest_of_another_app_does_not_count() -> None:
    placement = Placement("ToDo", "/ToDo/", "1", "a" * 64)
    assert not served_verdict([placement], serving({"f1": {"Shop": "a" * 64}})).unanimous
    assert served_verdict([placement], serving({"f1": {"ToDo": "a" * 64, "Shop": "b" * 64}})).unanimous
