from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inventory import loader
from orchestrator.adapters.inventory import load_inventory, select_fleet
from orchestrator.cli.inventory import app
from orchestrator.domain.errors import UsageError
from orchestrator.settings import Settings
from tests.unit.inventory.documents import VALID, place_of

BAD = VALID.replace("port: 22,", "port: 0, usr: x,").replace("[ToDo]", "[ToDoo]")
PORT = ":".join(map(str, place_of(BAD, "0, usr")))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "inventory.yml"


def settings(file: Path) -> Settings:
    return Settings.read({"LOCKSTEP_HOME": str(file.parent), "LOCKSTEP_INVENTORY": str(file)})


def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1", **environ})
    return result.exit_code, result.stdout, result.stderr


def test_a_good_file_is_shown_fleet_by_fleet(file: Path) -> None:
    file.write_text(VALID)
    code, out, err = run("check", str(file))
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    drained = "2: fe2, fe1 drain up to 1, verify all files, arm 2.5 s"
    assert rows == [
        ["Fleet", "Apps", "Frontends", "Policy"],
        ["Development/web", "ToDo", "/ToDo/", "1:", "dev1", "abort,", "verify", "16", "files,", "arm", "10", "s"],
        ["Production/landing", "Landing", "/", "1:", "land1", "abort,", "verify", "16", "files,", "arm", "10", "s"],
        ["Production/web", "ToDo", "/ToDo/", *drained.split()],
        ["Portal", "/Portal/"],
    ]


def test_a_narrow_terminal_cuts_nothing_off(file: Path) -> None:
    file.write_text(VALID)
    _, out, _ = run("check", str(file), COLUMNS="40", LINES="25", TERM="dumb", FORCE_COLOR="1")
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 40


def test_without_a_path_the_settings_name_the_file(file: Path) -> None:
    file.write_text(VALID)
    assert run("check", LOCKSTEP_INVENTORY=str(file)) == run("check", str(file))


def test_a_good_file_as_json_is_its_fleets(file: Path) -> None:
    file.write_text(VALID)
    code, out, _ = run("check", str(file), "--json")
    fleets = [fleet.model_dump(mode="json") for fleet in loader.parse(VALID, "x").fleets]
    assert (code, json.loads(out)) == (0, {"ok": True, "fleets": fleets})


def test_every_problem_goes_to_standard_error_in_the_layout_of_all_errors(file: Path) -> None:
    file.write_text(BAD)
    code, out, err = run("check", str(file))
    assert (code, out) == (2, "")
    assert err.count("error: ") == 3
    assert (
        f"error: {file}:{PORT}: environments.Production.fleets.web.frontends.fe1.port: is out of range\n"
        "  expected: at least 1\n"
        "  found: 0\n"
    ) in err


def test_every_problem_as_json_is_one_document(file: Path) -> None:
    file.write_text(BAD)
    code, out, err = run("check", str(file), "--json")
    document = json.loads(out)
    assert (code, err, document["ok"]) == (2, "", False)
    assert [(p["field"].rpartition(".")[2], p["line"], p["found"]) for p in document["problems"]] == [
        ("port", 24, "0"),
        ("usr", 24, ""),
        ("apps", 37, "'ToDoo'"),
    ]


def test_a_file_that_is_not_there_says_what_to_do(file: Path) -> None:
    code, _, err = run("check", str(file))
    assert code == 2
    assert f"error: {file}: can't be read: No such file or directory" in err
    assert f"the manual is {loader.EXAMPLE}" in err


def test_help_shows_examples() -> None:
    _, out, _ = run("check", "--help")
    assert "lockstep inventory check staging.yml" in out


def test_other_commands_load_the_inventory_of_the_settings(file: Path) -> None:
    file.write_text(VALID)
    assert load_inventory(file) == loader.parse(VALID, "x")


def test_other_commands_show_the_first_problem_and_how_to_see_the_rest(file: Path) -> None:
    file.write_text(BAD)
    with pytest.raises(UsageError) as caught:
        load_inventory(file)
    problem = caught.value.problem
    assert problem.where == f"{file}:{PORT}"
    assert problem.what == "environments.Production.fleets.web.frontends.fe1.port: is out of range"
    assert (problem.expected, problem.found) == ("at least 1", "0")
    assert problem.remedy == f"and 2 more: lockstep inventory check {file}"


def test_a_single_problem_has_no_more(file: Path) -> None:
    file.write_text(VALID.replace("port: 22,", "port: 0,"))
    with pytest.raises(UsageError) as caught:
        load_inventory(file)
    assert caught.value.problem.remedy == ""


def test_a_fleet_that_is_not_there_is_a_usage_error_with_what_there_is() -> None:
    inventory = loader.parse(VALID, "x")
    assert select_fleet(inventory, "landing").key == "Production/landing"
    with pytest.raises(UsageError) as caught:
        select_fleet(inventory, "landign")
    problem = caught.value.problem
    assert problem.expected == "one of Development/web, Production/landing, Production/web"
    assert problem.remedy == "did you mean Production/landing?"


def test_the_example_that_is_printed_is_an_inventory_without_problems(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["example"])
    (tmp_path / "inventory.yml").write_text(printed.output, encoding="utf-8")

    assert printed.exit_code == 0
    assert CliRunner().invoke(app, ["check", str(tmp_path / "inventory.yml")]).exit_code == 0
