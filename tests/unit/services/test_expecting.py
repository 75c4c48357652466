"""What an audit expects, from a ledger and a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.model import Fleet
from orchestrator.domain.audit.audit import Audit, AuditPlan, Known
from orchestrator.domain.audit.expectation import Expectation, Standing
from orchestrator.domain.audit.finding import Finding, Kind, Seriousness
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import UsageError
from orchestrator.services.audits.expecting import Expecting
from orchestrator.services.deployments import Schedule
from tests.unit.services.fleets import NOW, World, fleet

SCRIPT = "c" * 64
APPS = ("ToDo", "Portal")
FILES = {f"file{number:02}.txt": f"{number}".encode() for number in range(12)}


class Audited:
    """A fleet that serves its apps, and what an audit of it expects."""

    def __init__(self, world: World, of: Fleet) -> None:
        self.world, self.fleet = world, of

    def deploys(self, version: str, **contents: bytes) -> Deployment:
        for app in APPS:
            self.world.releases(app, version, {**FILES, "index.html": f"{app} {version}".encode(), **contents})
        made = self.world.deploying.deploy(self.fleet, dict.fromkeys(APPS, version), Schedule(), "ann")
        self.world.commit(made)
        self.world.clock.pass_hours(1)
        return made

    def expects(self, number: int = 1, *, deep: bool = False, known: tuple[Known, ...] = ()) -> Expectation:
        expecting = Expecting(self.world.ledger, lambda _: 7, self.world.artifacts, self.world.clock, SCRIPT)
        return expecting(self.fleet, Audit(number, AuditPlan(self.fleet.key, {}, deep, "report", "ann"), NOW), known)

    def drain(self, frontend: str, *, confirmed: bool) -> None:
        everybody = {each.name for each in self.fleet.frontends}
        drain = self.world.ledger.add_drain(
            self.fleet.key, frontend, self.fleet.model_dump(mode="json"), "ann", "", remaining=everybody, anew=False
        )
        if confirmed:
            self.world.ledger.confirm_drain(drain.number, "haproxy")


def with_policy(**policy: object) -> Fleet:
    document = fleet().model_dump(mode="json")
    document["policy"] |= policy
    return Fleet.model_validate({**document, "url": "https://apps.example.org/"})


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    return Audited(World.at(tmp_path), with_policy(keep=1, keep_hours=0, verify=3))


def known(path: str, frontend: str = "fe1", kind: Kind = Kind.FILE_SERVED) -> Known:
    finding = Finding("Production/web", frontend, kind, path, "", "", Seriousness.CLIENTS)
    return Known(1, finding, 1, 1, NOW, NOW)


def test_a_fleet_that_serves_nothing_can_t_be_audited(audited: Audited) -> None:
    with pytest.raises(UsageError, match="serves nothing"):
        audited.expects()


def test_what_is_served_what_is_kept_and_what_ever_was_committed(audited: Audited) -> None:
    rows = [audited.deploys(version) for version in ("1", "2", "3")]
    expected = audited.expects()
    assert (expected.name, list(expected.retained)) == (rows[2].name, [rows[1].name])
    assert expected.past == {row.name for row in rows}
    assert (expected.epoch, expected.script, expected.open) == (7, SCRIPT, frozenset())
    assert {tree.path for tree in expected.layout.releases} == {
        f"releases/{p.app}/{p.digest}" for p in rows[2].plan.placements
    }


def test_an_open_deployment_s_activation_may_be_there(audited: Audited) -> None:
    audited.deploys("1")
    audited.world.release("ToDo", "2")
    opened = audited.world.deploying.deploy(audited.fleet, {"ToDo": "2"}, Schedule(), "ann")
    assert audited.expects().open == {opened.name}


def test_space_is_for_the_largest_release_that_is_held(audited: Audited) -> None:
    audited.deploys("1", large=b"x" * 10_000)
    audited.deploys("2")
    assert 10_000 < audited.expects().space < 11_000
    audited.deploys("3")
    assert audited.expects().space < 1_000


def test_who_is_drained_and_who_is_about_to_be(audited: Audited) -> None:
    audited.deploys("1")
    audited.drain("fe2", confirmed=True)
    audited.drain("fe3", confirmed=False)
    assert audited.expects().rotation == {
        "fe1": Standing.SERVING,
        "fe2": Standing.DRAINED,
        "fe3": Standing.DRAINING,
    }


def test_a_frontend_that_is_new_is_not_looked_at(audited: Audited) -> None:
    audited.deploys("1")
    audited.fleet = fleet(frontends=4)
    assert list(audited.expects().rotation) == ["fe1", "fe2", "fe3"]


def test_every_manifest_and_document_and_a_sample_of_the_files_which_is_another_one_each_time(
    audited: Audited,
) -> None:
    name = audited.deploys("1").name
    expected = audited.expects()
    asks = expected.asks["fe1"]
    manifests = {(ask.app, ask.activation) for ask in asks if ask.kind is Kind.MANIFEST_SERVED}
    assert manifests == {(app, str(name)) for app in APPS}
    documents = {ask.url for ask in asks if ask.kind is Kind.DOCUMENT_SERVED}
    assert {
        "/-/lockstep/activation",
        "/ToDo/moduleservices/moduleversioninfo",
        "/Portal/precache.manifest",
    } <= documents
    assert len([url for url in documents if url.startswith("/ToDo/moduleservices/moduleinfo?")]) == 1
    assert len([ask for ask in asks if ask.kind is Kind.HASH_SERVED]) == 3 * len(APPS)
    assert expected.sampled
    others = (expected.asks["fe2"], audited.expects(2).asks["fe1"])
    assert all({ask.url for ask in other} != {ask.url for ask in asks} for other in others)
    assert audited.expects().asks == expected.asks


def test_what_differs_from_the_activation_before_is_sampled_as_everything_else(audited: Audited) -> None:
    audited.deploys("1")
    audited.deploys("2", **{f"new{number}": f"new {number}".encode() for number in range(6)})
    asks = audited.expects().asks["fe1"]
    assert len([ask for ask in asks if ask.kind is Kind.HASH_SERVED]) == 3 * len(APPS)


def test_a_deep_audit_asks_for_everything(audited: Audited) -> None:
    audited.deploys("1")
    expected = audited.expects(deep=True)
    assert (expected.deep, expected.sampled) == (True, False)
    files = {ask.url for ask in expected.asks["fe1"] if ask.kind is Kind.HASH_SERVED}
    assert len(files) == len(APPS) * (len(FILES) + 1)


def test_what_a_finding_is_about_is_asked_for_again_of_that_frontend(audited: Audited) -> None:
    audited.deploys("1")
    asked = {ask.url for ask in audited.expects().asks["fe1"]}
    left_out = next(f"/ToDo/{path}" for path in FILES if f"/ToDo/{path}" not in asked)
    expected = audited.expects(known=(known(left_out), known("/ToDo/nothing.txt"), known("", "", Kind.FLEET_SPLIT)))
    assert {ask.url for ask in expected.asks["fe1"]} == asked | {left_out}
    assert expected.asks["fe2"] == audited.expects().asks["fe2"]


def test_the_public_address_is_asked_without_a_pin_and_what_was_before_is_known(audited: Audited) -> None:
    rows = [audited.deploys(version) for version in ("1", "2", "3")]
    expected = audited.expects()
    assert {(ask.kind, ask.activation) for ask in expected.address} == {
        (Kind.MANIFEST_SERVED, ""),
        (Kind.DOCUMENT_SERVED, ""),
    }
    digests = {p.digest: str(row.name) for row in rows[:2] for p in row.plan.placements}
    assert {sha: name for sha, name in expected.older.items() if sha in digests} == digests
    # Of what is kept the documents, too: two of each app.
    assert len(expected.older) == len(digests) + 2 * len(APPS)
    assert not expected.older.keys() & {ask.sha256 for ask in expected.address}


def test_after_a_rollback_what_is_served_again_is_not_old(audited: Audited) -> None:
    audited.deploys("1")
    audited.deploys("2")
    before = audited.expects().older
    made = audited.world.deploying.deploy(audited.fleet, dict.fromkeys(APPS, "1"), Schedule(), "ann")
    audited.world.commit(made)
    expected = audited.expects()
    assert not before.keys() & expected.older.keys()
    assert expected.older


def test_a_fleet_without_a_public_address_or_load_balancer_expects_nothing_of_them(audited: Audited) -> None:
    audited.deploys("1")
    audited.fleet = fleet()
    expected = audited.expects()
    assert (expected.address, expected.balanced) == ((), False)
