"""Drift planted by hand on a real fleet: each kind is found as itself, put right where it may be, and then gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.nginx.recipe import render
from orchestrator.adapters.load_balancer import HaproxyLoadBalancer
from orchestrator.cli.deployments import choose
from orchestrator.domain.audit.audit import Outcome
from orchestrator.domain.audit.finding import Kind
from orchestrator.domain.audit.healing import Policy
from orchestrator.domain.release import Hasher
from tests.integration.audited import (
    Audited,
    Told,
    adds,
    audited,
    becomes,
    flips_a_bit,
    links_to,
    mode,
    removes,
    replaces,
    says,
)
from tests.integration.nginx import free_ports, nginx
from tests.integration.operator import tree, wait_until

OLD = tree("audits", files=10, size=3_000, changed={"old.txt": b"only before"})
NEW = tree("audits", files=10, size=3_000, changed={"new.txt": b"only now", "index.html": b"<!doctype html>now"})
FRONTENDS = 4


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    with audited(tmp_path_factory.mktemp("audits"), FRONTENDS, ("1.0.0", OLD), ("2.0.0", NEW)) as made:
        yield made


@pytest.fixture(autouse=True)
def consistent(fleet: Audited) -> Iterator[None]:
    """Before each test, and after it."""
    yield
    assert fleet.audits(deep=True).outcome is Outcome.CONSISTENT, fleet.known()


class Planted(NamedTuple):
    """What is done to a path below a frontend's root, and what an audit must say of it, all of it."""

    frontend: str
    path: str
    plant: Callable[[Path], object]
    told: tuple[tuple[Kind, str], ...]


#: What a client sees of what lies on the disk: it comes with the finding there.
SERVED = {Kind.FILE_SERVED, Kind.HASH_SERVED, Kind.DOCUMENT_SERVED, Kind.MANIFEST_SERVED, Kind.FLEET_SPLIT}
ADDRESS = {Kind.ADDRESS_OLD, Kind.ADDRESS_CHANGED}


class Names(NamedTuple):
    """What the fleet serves, and what it served before: paths below a root."""

    release: str
    old_release: str
    activation: str
    old_activation: str


def names(fleet: Audited) -> Names:
    now, before = fleet.lockstep.ledger.committed("Lab/web")[:2]
    releases = [f"releases/ToDo/{row.plan.placements[0].digest}" for row in (now, before)]
    release, old_release = releases
    return Names(release, old_release, f"activations/{now.name}", f"activations/{before.name}")


def by_hash(content: bytes) -> str:
    return f"by-hash/{Hasher.of([content]).ota}"


def part(number: int) -> str:
    return f"scripts/part {number}+ü.js"


def on_disk(n: Names) -> list[Planted]:
    """What healing puts right. The fourth frontend has no file that is wrong, but leads elsewhere."""
    manifest = f"{n.activation}/-/ToDo/manifest.json"
    shared = part(9)
    return [
        Planted("fe1", f"{n.release}/{part(0)}", replaces(b"edited"), ((Kind.FILE_CHANGED, ""),)),
        Planted("fe1", f"{n.release}/{part(1)}", removes, ((Kind.FILE_MISSING, ""),)),
        Planted("fe1", f"{n.activation}/ToDo", links_to(f"../../{n.old_release}"), ((Kind.LINK_CHANGED, ""),)),
        Planted("fe1", by_hash(NEW[part(2)]), replaces(b"another"), ((Kind.INDEX_CHANGED, ""),)),
        Planted("fe1", f"{n.old_release}/old.txt", replaces(b"edited"), ((Kind.FILE_CHANGED, ""),)),
        # One inode under all its names, in both releases and by its hash.
        Planted("fe2", f"{n.release}/{shared}", flips_a_bit, (
            (Kind.FILE_CHANGED, ""), (Kind.FILE_CHANGED, f"{n.old_release}/{shared}"),
            (Kind.INDEX_CHANGED, by_hash(NEW[shared])),
        )),
        Planted("fe2", f"{n.release}/new.txt", mode(0o600), ((Kind.FILE_MODE, ""),)),
        Planted("fe2", f"{n.release}/{part(3)}", becomes(Path.mkdir), ((Kind.FILE_MISSING, ""),)),
        Planted("fe2", f"{n.release}/{part(4)}", becomes(os.mkfifo), ((Kind.FILE_TYPE, ""),)),
        Planted("fe2", f"{n.release}/{part(5)}", links_to("/etc/passwd"), ((Kind.FILE_TYPE, ""),)),
        Planted("fe2", manifest, replaces(b"{}"), ((Kind.FILE_CHANGED, ""),)),
        Planted("fe3", n.release, removes, ((Kind.RELEASE_MISSING, ""),)),
        Planted("fe3", n.old_activation, removes, ((Kind.ACTIVATION_MISSING, ""),)),
        Planted("fe3", f"{n.activation}/-/extra.txt", becomes(says("who put this here?")), ((Kind.FILE_EXTRA, ""),)),
        Planted("fe4", "current", links_to(n.old_activation), ((Kind.CURRENT_ELSEWHERE, ""),)),
        Planted("fe4", "state/fence", says("0\n"), ((Kind.FENCE_BEHIND, ""),)),
        Planted("fe4", "state/lockstep-frontend", adds(b"# edited\n"), ((Kind.SCRIPT_OUTDATED, "-"),)),
    ]  # fmt: skip


def plant(fleet: Audited, planted: Iterable[Planted]) -> set[Told]:
    """Do it; returns what an audit must say."""
    told = set()
    for each in planted:
        each.plant(fleet.root(each.frontend) / each.path)
        for kind, path in each.told:
            told.add(Told(each.frontend, kind, "" if path == "-" else path or each.path))
    return told


def test_what_lies_on_the_disk_is_found_put_right_and_gone_in_the_next_audit(fleet: Audited) -> None:
    told = plant(fleet, on_disk(names(fleet)))
    audit = fleet.audits(deep=True)
    assert audit.outcome is Outcome.INCONSISTENT
    assert {each for each in fleet.told() if each.kind not in SERVED | ADDRESS} == told
    # What clients see of it is told as well.
    assert {each.kind for each in fleet.told()} >= SERVED
    healed = fleet.audits(deep=True, policy=Policy.HEAL)
    # What should not be there is reported, and nothing else is left.
    assert {each.kind for each in fleet.told()} == {Kind.FILE_EXTRA}, healed.detail
    assert fleet.audits(deep=True, policy=Policy.HEAL, remove_extra=True).outcome is Outcome.CONSISTENT
    assert len(set(fleet.operator.served().values())) == 1


def test_nothing_that_is_served_is_still_put_right(fleet: Audited) -> None:
    n = names(fleet)
    told = plant(
        fleet,
        [
            Planted("fe1", "current", removes, ((Kind.CURRENT_MISSING, ""),)),
            Planted("fe2", n.activation, removes, ((Kind.ACTIVATION_MISSING, ""),)),
            Planted("fe3", "state/fence", removes, ((Kind.FENCE_BEHIND, ""),)),
            Planted("fe4", "current", links_to("elsewhere"), ((Kind.CURRENT_MISSING, ""),)),
        ],
    )
    fleet.audits()
    # A web server that has nothing to serve answers 503, and so may the load balancer.
    silent = SERVED | ADDRESS | {Kind.ROTATION_HEALTH, Kind.ADDRESS_UNSEEN}
    assert {each for each in fleet.told() if each.kind not in silent and each.path != "http"} == told
    removes(fleet.root("fe3") / "by-hash")
    removes(fleet.root("fe3") / "incoming")
    assert fleet.audits(policy=Policy.HEAL).outcome is Outcome.CONSISTENT, fleet.known()
    assert len(set(fleet.operator.served().values())) == 1


def test_who_shows_clients_something_wrong_is_drained_but_not_all_at_once(fleet: Audited) -> None:
    pages = [fleet.root(name) / names(fleet).release / "index.html" for name in ("fe1", "fe2", "fe3", "fe4")]
    for page in pages:
        replaces(b"edited")(page)
    detail = fleet.audits(policy=Policy.DRAIN).detail
    # It is not the frontends, where all of them are wrong.
    assert ("drained" in detail, detail["not_drained"]["what"].startswith("every frontend")) == (False, True)
    fleet.audits(policy=Policy.HEAL)
    for page in pages[:2]:
        replaces(b"edited")(page)
    detail = fleet.audits(policy=Policy.DRAIN).detail
    assert (detail["drained"], "fe2" in detail["not_drained"]["what"]) == (["fe1"], True)
    wait_until(lambda: all(drain.confirmed for drain in fleet.lockstep.ledger.drains("Lab/web")))
    # One that is drained is left alone; its readmission puts it right.
    assert fleet.audits(policy=Policy.HEAL).outcome is Outcome.INCONSISTENT
    assert pages[0].read_bytes() == b"edited"
    assert fleet.operator.types("readmit", "web", "fe1").code == 0


def test_what_nobody_can_put_right_from_here_is_reported(fleet: Audited) -> None:
    told = plant(
        fleet,
        [
            Planted("fe1", "state/fence", says("9999\n"), ((Kind.FENCE_AHEAD, ""),)),
            Planted("fe2", "activations/88-" + "8" * 16, Path.mkdir, ((Kind.ACTIVATION_UNFINISHED, ""),)),
            Planted("fe2", "ahead/89-" + "9" * 16, Path.touch, ((Kind.ACTIVATION_UNFINISHED, ""),)),
            Planted("fe3", "state/drained", says("1\n"), (
                (Kind.ROTATION_HEALTH, ""), (Kind.ROTATION_HEALTH, "/-/lockstep/health"),
            )),
        ],
    )  # fmt: skip
    settings = choose(fleet.lockstep, "web").load_balancer
    assert settings is not None
    balancer = HaproxyLoadBalancer(settings)
    balancer.drain("fe2")
    told.add(Told("fe2", Kind.ROTATION_BALANCER, ""))
    recipe = fleet.root("fe1") / "state/nginx.conf"
    recipe.write_text(render(root=str(fleet.root("fe1")), listen=["8080"]))
    assert fleet.audits().outcome is Outcome.INCONSISTENT
    assert Told("fe1", Kind.RECIPE_OUTDATED, "") not in fleet.told()
    adds(b"# edited\n")(recipe)
    told.add(Told("fe1", Kind.RECIPE_OUTDATED, ""))
    fleet.lab.stop_sshd("fe4")
    told.add(Told("fe4", Kind.UNSEEN, "shell"))
    audit = fleet.audits(policy=Policy.HEAL)
    assert audit.outcome is Outcome.INCONSISTENT
    assert {each for each in fleet.told() if not each.path.startswith(("activations/", "releases/", "by-hash"))
            or each.frontend != "fe4"} == told  # fmt: skip
    # Nothing of it was touched.
    assert "healing" not in audit.detail
    fleet.lab.start_sshd("fe4")
    balancer.readmit("fe2")
    recipe.unlink()
    (fleet.root("fe1") / "state/fence").write_text(f"{fleet.lockstep.audits.highest_epoch('Lab/web')}\n")
    (fleet.root("fe2") / "activations" / ("88-" + "8" * 16)).rmdir()
    (fleet.root("fe2") / "ahead" / ("89-" + "9" * 16)).unlink()
    (fleet.root("fe3") / "state/drained").unlink()


def test_the_right_files_from_the_wrong_place_are_found(fleet: Audited) -> None:
    root = fleet.root("fe1")
    copy = root.with_name("copy")
    shutil.copytree(root, copy, symlinks=True)
    fleet.lab.serve_elsewhere("fe1", copy)
    fleet.audits(deep=True)
    assert fleet.told() == {Told("fe1", Kind.SERVED_ELSEWHERE, "/-/lockstep/place")}
    # Some time later the copy is no copy any more.
    (copy / "current").unlink()
    (copy / "current").symlink_to(names(fleet).old_activation)
    fleet.audits()
    assert {each.kind for each in fleet.told()} >= {Kind.SERVED_ELSEWHERE}
    fleet.lab.serve_elsewhere("fe1", root)


#: Caches by path alone, whatever it is told.
CACHING = """
    proxy_cache_path {directory}/cache keys_zone=audits:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream};
            proxy_cache audits;
            proxy_cache_key $uri;
            proxy_cache_valid 200 1h;
            proxy_ignore_headers Cache-Control Set-Cookie Expires;
        }}
    }}
"""


def test_a_proxy_that_answers_what_was_served_before_is_found(fleet: Audited, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    tmp_path.chmod(0o755)
    conf = CACHING.format(directory=tmp_path, port=port, upstream=fleet.lab.url)
    with nginx(tmp_path / "proxy", conf, [port]):
        with fleet.operator.inventory() as written:
            public, written["url"] = written["url"], f"http://127.0.0.1:{port}/"
        assert fleet.audits().outcome is Outcome.CONSISTENT, fleet.known()
        assert fleet.operator.types("deploy", "web", "ToDo=1.0.0").code == 0
        fleet.audits()
        found = fleet.told()
        assert {(each.frontend, each.kind) for each in found} == {("", Kind.ADDRESS_OLD)}
        assert "/ToDo/precache.manifest" in {each.path for each in found}
    fleet.audits()
    assert {(each.frontend, each.kind) for each in fleet.told()} >= {("", Kind.ADDRESS_UNSEEN)}
    with fleet.operator.inventory() as written:
        written["url"] = public
    assert fleet.operator.types("deploy", "web", "ToDo=2.0.0").code == 0


def test_a_bit_that_flips_below_an_unchanged_size_and_time_is_found(fleet: Audited) -> None:
    n = names(fleet)
    fleet.audits()
    path = fleet.root("fe1") / n.old_release / "old.txt"
    flips_a_bit(path)
    # Not what is served: an audit that is not deep looks there only for names.
    assert fleet.audits().outcome is Outcome.INCONSISTENT
    assert {each.kind for each in fleet.told()} == {Kind.INDEX_CHANGED}
    fleet.audits(deep=True, policy=Policy.HEAL)


def test_what_comes_back_again_and_again_is_given_up(fleet: Audited) -> None:
    path = fleet.root("fe3") / names(fleet).release / part(6)
    for _ in range(3):
        replaces(b"once more")(path)
        assert fleet.audits(policy=Policy.HEAL).outcome is Outcome.CONSISTENT
    replaces(b"once more")(path)
    audit = fleet.audits(policy=Policy.HEAL)
    assert (audit.outcome, audit.detail["escalated"]) == (Outcome.INCONSISTENT, 1)
    assert path.read_bytes() == b"once more"
    (known,) = [each for each in fleet.known() if each.finding.kind is Kind.FILE_CHANGED]
    assert (known.healed, known.escalated_at is not None) == (3, True)
    # That it is not there at all is another finding, which was never put right before.
    removes(path)
    assert fleet.audits(policy=Policy.HEAL).outcome is Outcome.CONSISTENT


def test_clients_see_nothing_of_healing_what_they_do_not_see(fleet: Audited) -> None:
    n = names(fleet)
    hidden = [
        Planted("fe1", f"{n.old_release}/old.txt", flips_a_bit, ()),
        Planted("fe1", f"{n.release}/extra.txt", says("extra"), ()),
        Planted("fe2", n.old_activation, removes, ()),
        Planted("fe2", f"{n.release}/new.txt", mode(0o644), ()),
        Planted("fe3", n.old_release, removes, ()),
        Planted("fe3", "state/fence", says("0\n"), ()),
        Planted("fe4", "state/lockstep-frontend", adds(b"# edited\n"), ()),
        Planted("fe4", by_hash(OLD["old.txt"]), removes, ()),
    ]
    with fleet.operator.observers() as observed:
        for each in hidden:
            plant(fleet, [each])
        assert fleet.audits(deep=True).outcome is Outcome.INCONSISTENT
        healed = fleet.audits(deep=True, policy=Policy.HEAL, remove_extra=True)
        assert (healed.outcome, healed.detail["healing"] > 0) == (Outcome.CONSISTENT, True), fleet.known()
    observed.assert_clean()
