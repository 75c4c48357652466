from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from inventory import loader
from inventory.model import Fleet, Gate, Gates, LoadBalancer, Policy, Unreachable
from inventory.problem import InventoryError
from tests.unit.inventory.documents import VALID, changed, problems

WEB = "environments.Production.fleets.web"


@pytest.fixture
def web() -> Fleet:
    fleet = next(f for f in loader.parse(VALID, "inventory.yml").fleets if f.key == "Production/web")
    assert isinstance(fleet, Fleet)
    return fleet


def test_fleets_are_sorted_by_environment_and_name() -> None:
    fleets = loader.parse(VALID, "inventory.yml").fleets
    assert [fleet.key for fleet in fleets] == ["Development/web", "Production/landing", "Production/web"]


def test_a_fleet_has_the_apps_that_it_names_with_their_mounts(web: Fleet) -> None:
    assert [(app.name, app.mount) for app in web.apps] == [("ToDo", "/ToDo/"), ("Portal", "/Portal/")]


def test_frontends_keep_the_order_in_which_they_are_written(web: Fleet) -> None:
    assert [frontend.name for frontend in web.frontends] == ["fe2", "fe1"]


def test_defaults_hold_where_a_frontend_has_no_value_of_its_own(web: Fleet) -> None:
    fe2, fe1 = web.frontends
    assert (fe2.user, fe2.port, fe2.root, fe2.identity) == ("deploy", 2222, "/srv/lockstep", "~/.ssh/lockstep")
    assert (fe1.user, fe1.port, fe1.root, fe1.identity) == ("root", 22, "/srv/lockstep", "~/.ssh/lockstep")


def test_policy_host_and_url_are_the_fleets(web: Fleet) -> None:
    assert web.policy == Policy(unreachable=Unreachable.DRAIN, max_drained=1, verify="all", arm_seconds=2.5)
    assert (web.host, str(web.url)) == ("app.example.com", "https://app.example.com/")


def test_the_load_balancer_is_the_fleets_and_names_each_frontend_s_server(web: Fleet) -> None:
    assert web.load_balancer == LoadBalancer(
        kind="haproxy",
        sockets=("unix:///run/haproxy/admin.sock", "tcp://[fd00::5]:9999"),
        backend="web",
        servers={"fe1": "srv1"},
    )
    assert [web.load_balancer.server(frontend.name) for frontend in web.frontends] == ["fe2", "srv1"]


def test_the_gates_are_the_fleets_and_each_may_be_left_out(web: Fleet) -> None:
    assert web.gates == Gates(
        before_stage=Gate(command=("/opt/check", "--fast", ""), seconds=5), on_abort=Gate(command=("/opt/tell",))
    )
    assert (web.gates.on_abort or Gate(command=("/x",), seconds=1)).seconds == 60
    for empty in ("        gates:\n", "        gates: {on_abort: null}\n"):
        start, end = VALID.index("        gates:"), VALID.index("        defaults:")
        fleets = loader.parse(VALID[:start] + empty + VALID[end:], "inventory.yml").fleets
        assert [fleet.gates for fleet in fleets] == [Gates()] * 3


def test_a_snapshot_with_an_unusable_load_balancer_is_refused(web: Fleet) -> None:
    snapshot = web.model_dump(mode="json")
    for change, what in (
        ({"load_balancer": None}, "unreachable: drain needs a load_balancer"),
        ({"load_balancer": {**snapshot["load_balancer"], "sockets": []}}, "at least one socket"),
        ({"load_balancer": {**snapshot["load_balancer"], "servers": {"fe9": "x"}}}, "no frontend of the fleet: fe9"),
        ({"load_balancer": {**snapshot["load_balancer"], "servers": {"fe1": "fe2"}}}, "the same server"),
        ({"load_balancer": {**snapshot["load_balancer"], "sockets": ["tcp://a:1", "tcp://a:1"]}}, "socket twice"),
        ({"load_balancer": {**snapshot["load_balancer"], "backend": "web state\nquit"}}, "a name in HAProxy"),
    ):
        with pytest.raises(ValidationError, match=what):
            Fleet.model_validate({**snapshot, **change})


def test_what_is_optional_may_be_left_out_or_empty() -> None:
    text = changed("        host: app.example.com\n", "        host:\n")
    fleets = {fleet.key: fleet for fleet in loader.parse(text, "inventory.yml").fleets}
    assert fleets["Production/web"].host is None
    assert fleets["Development/web"].policy == Policy()
    assert fleets["Development/web"].frontends[0].port == 22


def distributed(text: str) -> str:
    return changed("  Production:\n", f"  Production:\n    distribution: {text}\n")


def test_an_environment_says_how_each_of_its_apps_is_distributed() -> None:
    found = loader.parse(distributed("{ToDo: store-only, Portal: hybrid}"), "x").fleets
    assert {(fleet.key, app.name): app.distribution.value for fleet in found for app in fleet.apps} == {
        ("Development/web", "ToDo"): "hybrid",
        ("Production/landing", "Landing"): "hybrid",
        ("Production/web", "ToDo"): "store-only",
        ("Production/web", "Portal"): "hybrid",
    }
    for fleet in found:
        assert Fleet.model_validate(fleet.model_dump(mode="json")) == fleet


@pytest.mark.parametrize(
    ("text", "field", "what"),
    [
        ("{Tudo: store-only}", "environments.Production.distribution.Tudo", "names no app"),
        ("{ToDo: storeonly}", "environments.Production.distribution.ToDo", "is not one of the choices"),
        ("{ToDo: }", "environments.Production.distribution.ToDo", "is not one of the choices"),
        ("[ToDo]", "environments.Production.distribution", "is not a mapping"),
    ],
)
def test_a_distribution_that_is_none_is_refused_at_its_place(text: str, field: str, what: str) -> None:
    (problem,) = problems(distributed(text))
    assert problem.field == field
    assert what in problem.what
    assert problem.expected


def test_an_app_can_t_say_itself_how_it_is_distributed() -> None:
    (problem,) = problems(changed("ToDo: {mount: /ToDo/}", "ToDo: {mount: /ToDo/, distribution: hybrid}"))
    assert problem.what == "is not a field"


def test_a_fleet_survives_its_snapshot() -> None:
    for fleet in loader.parse(VALID, "inventory.yml").fleets:
        assert Fleet.model_validate(fleet.model_dump(mode="json")) == fleet
        assert Fleet.model_validate_json(fleet.model_dump_json()) == fleet


def test_an_alias_stands_for_a_whole_value() -> None:
    text = changed("  ToDo: {mount: /ToDo/}", "  ToDo: &m {mount: /ToDo/}").replace(
        "  Portal: {mount: /Portal/}", "  Portal: *m"
    )
    assert [p.what for p in problems(text)] == ["mounts one app over another"]


def test_an_inventory_may_have_no_fleets() -> None:
    assert loader.parse("apps: {}\nenvironments: {}", "x").fleets == ()


def test_load_reads_utf_8_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yml"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + VALID.replace("\n", "\r\n").encode())
        assert loader.load(path) == loader.parse(VALID, "x")


def loading(path: Path) -> list[tuple[str, str]]:
    with pytest.raises(InventoryError) as caught:
        loader.load(path)
    return [(problem.where, problem.what) for problem in caught.value.problems]


def test_a_file_that_is_not_there_or_not_a_file_is_a_problem_of_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "none.yml"
    assert loading(missing) == [(str(missing), "can't be read: No such file or directory")]
    assert loading(tmp_path) == [(str(tmp_path), "can't be read: Is a directory")]


def test_a_file_that_is_not_utf_8_is_a_problem_at_its_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.yml"
    path.write_bytes(b"apps: {}\nx: \xe9")
    assert loading(path) == [(f"{path}:2:4", "is not UTF-8")]


def test_a_byte_order_mark_is_no_column(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yml"
    path.write_bytes(b"\xef\xbb\xbfappz: {}\n")
    assert (f"{path}:1:1", "is not a field") in loading(path)


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "huge.yml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: more than memory holds, and no room on disk
    assert loading(path) == [(f"{path}:1:1", "is too large")]


def test_whatever_is_repeated_of_the_file_is_short_and_printable() -> None:
    text = 'apps: {"' + "x" * 500 + '": {mount: "' + "\\e]0;y" * 100 + '"}}\nenvironments: 1'
    for problem in problems(text):
        assert len(problem.found) <= 80
        assert all(len(name) <= 80 for name in problem.field.split("."))
        assert all(line.isprintable() for line in str(problem).split("\n"))
    assert len(problems(text)) == 3
