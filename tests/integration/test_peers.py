"""Frontends hand a release on to each other: it leaves the worker once, and who does not hand it on is left out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab import Lab
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.deployment import Outcome, Step
from orchestrator.settings import Settings
from tests.integration.operator import Operator

FRONTENDS = 5
SIZE = 600_000


def files(seed: int) -> dict[str, bytes]:
    content = random.Random(seed)
    return {"index.html": b"<!doctype html>", **{f"{n}.bin": content.randbytes(SIZE // 10) for n in range(10)}}


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with Lab.up(tmp_path / "lab", FRONTENDS) as lab:
        made = Operator(tmp_path, lab)
        with made.standalone():
            yield made


def staged(operator: Operator, number: int) -> dict[str, dict[str, object]]:
    """What each frontend reported of its staging."""
    reports = Lockstep(Settings.read(operator.environment)).ledger.reports(number)
    return {
        report.frontend: dict(report.detail)
        for _, report in reports
        if report.step is Step.STAGE and report.outcome is Outcome.ACCEPTED
    }


def test_a_release_leaves_the_worker_once_and_one_that_hands_nothing_on_is_left_out(operator: Operator) -> None:
    operator.builds("1.0.0", files(1))
    done = operator.reads("deploy", "web", "ToDo=1.0.0")
    details = staged(operator, done["id"])
    assert len(details) == FRONTENDS
    sent = [int(str(each["bytes"])) for each in details.values()]
    assert sum(size > SIZE for size in sent) == 1
    assert sum(int(str(each["fetched"])) > SIZE for each in details.values()) == FRONTENDS - 1
    assert sum(sent) < 2 * SIZE
    assert all(not list((each.root / "packs").iterdir()) for each in operator.lab.frontends)

    # All web servers show another root, where no packs are: nobody hands anything on, and none passes as verified.
    elsewhere = operator.directory / "elsewhere"
    elsewhere.mkdir()
    for each in operator.lab.frontends:
        operator.lab.serve_elsewhere(each.name, elsewhere)
    operator.builds("2.0.0", files(2))
    said = operator.types("deploy", "web", "ToDo=2.0.0", "--json")
    assert said.code != 0
    number = done["id"] + 1
    details = staged(operator, number)
    assert len(details) == FRONTENDS
    failed = {str(name) for each in details.values() for name in list(each.get("failed", ()))}  # type: ignore[call-overload]
    assert failed
    assert failed <= {each.name for each in operator.lab.frontends}
    assert all(int(str(each["bytes"])) > SIZE for each in details.values())
