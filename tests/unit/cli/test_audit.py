"""What the commands say of audits, on a terminal, as JSON and as JUnit XML, and the exit code that goes with it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from orchestrator.adapters.ledger.audits import SqlAudits
from orchestrator.cli.app import main
from orchestrator.cli.audit import begin, followed, watched
from orchestrator.cli.findings import MOST_SHOWN, exit_of, report_lines
from orchestrator.cli.junit import write_junit
from orchestrator.cli.output import Exit
from orchestrator.domain.audit.audit import Audit, AuditPlan, Outcome
from orchestrator.domain.audit.finding import Finding, Kind, Seriousness
from orchestrator.domain.audit.history import History
from orchestrator.domain.errors import HeldError, UsageError
from orchestrator.services.audits.report import report_of
from tests.unit.api.service import Here

FLEET = "Production/web"
NAMES = ("fe1", "fe2")
HOSTILE = "a\x1b[31m\x00\x07\u202eb\nc\udcff<&]]>"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    here = Here(tmp_path)
    here.deployed()
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path))
    monkeypatch.setenv("LOCKSTEP_INVENTORY", str(tmp_path / "inventory.yml"))
    for name in ("LEDGER_URL", "BROKER_URL"):
        monkeypatch.delenv(f"LOCKSTEP_{name}", raising=False)
    return here


def finding(
    frontend: str, path: str = "index.html", kind: Kind = Kind.FILE_CHANGED, rank: Seriousness = Seriousness.CLIENTS
) -> Finding:
    return Finding(FLEET, frontend, kind, path, "bytes abc", "bytes def", rank)


def begun(here: Here) -> Audit:
    fleet = next(each for each in here.inventory().fleets if each.key == FLEET)
    return here.auditing.begin(fleet, "ann@ops")


def ended(here: Here, *opened: Finding, outcome: Outcome | None = None, unsettled: tuple[Finding, ...] = ()) -> Audit:
    verdict = Outcome.INCONSISTENT if opened or unsettled else Outcome.CONSISTENT
    told = History(opened, (), (), unsettled) if outcome is None else None
    return here.audits.end_audit(begun(here).id, outcome or verdict, {"epoch": 1, "seconds": 0.25}, told)


def said(here: Here, audit: Audit) -> str:
    return "\n".join(line.plain for line in report_lines(report_of(here.audits, audit)))


def suites(here: Here, audit: Audit) -> dict[str, dict[str, ET.Element]]:
    file = here.settings.home / "audit.xml"
    write_junit(file, report_of(here.audits, audit), NAMES)
    root = ET.parse(file).getroot()
    assert root.tag == "testsuites"
    for each in (root, *root):
        for tag, count in (("failure", "failures"), ("error", "errors"), ("testcase", "tests")):
            assert int(each.attrib[count]) == len(list(each.iter(tag)))
    return {suite.attrib["name"]: {case.attrib["name"]: case for case in suite} for suite in root}


def what(case: ET.Element) -> str | None:
    return case[0].tag if len(case) else None


@pytest.mark.parametrize("outcome", [None, *Outcome], ids=str)
def test_only_what_is_consistent_is_0_and_what_nobody_knows_is_3(here: Here, outcome: Outcome | None) -> None:
    audit = begun(here)
    if outcome is not None:
        audit = here.audits.end_audit(audit.id, outcome, {})
    expected = {Outcome.CONSISTENT: Exit.DONE, Outcome.INCONSISTENT: Exit.ABORTED}.get(outcome, Exit.OPEN)  # type: ignore[arg-type]
    assert exit_of(audit) is expected
    assert said(here, audit).startswith(f"{outcome or 'open'}: ")
    case = suites(here, audit)[FLEET]["outcome"]
    assert what(case) == {Exit.DONE: None, Exit.ABORTED: "failure", Exit.OPEN: "error"}[expected]


def test_findings_are_told_by_frontend_the_most_serious_first_with_what_to_do(here: Here) -> None:
    untidy = finding("fe1", "old", Kind.FILE_EXTRA, Seriousness.UNTIDY)
    text = said(here, ended(here, finding("fe2"), untidy, finding("fe1")))
    places = [text.index(each) for each in (f"{FLEET} fe1", "file-changed", "file-extra", f"{FLEET} fe2")]
    assert places == sorted(places)
    for words in ("3 findings are open", "bytes abc", "bytes def", "what to do", "(audit 1)", "clients see it"):
        assert words in text


def test_what_is_too_much_for_a_terminal_is_counted_there_and_whole_in_json(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = ended(here, *(finding("fe1", f"file-{number}") for number in range(MOST_SHOWN + 7)))
    assert said(here, audit).count("file-changed: ") == MOST_SHOWN
    assert "and 7 more findings" in said(here, audit)
    main_exits_0("audits", "show", str(audit.id), "--json")
    assert len(json.loads(capsys.readouterr().out)["findings"]) == MOST_SHOWN + 7


def main_exits_0(*words: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0


def test_control_characters_of_a_path_reach_neither_a_terminal_nor_xml(here: Here) -> None:
    bare = HOSTILE.replace("\udcff", "")
    audit = ended(here, finding("fe1", bare))
    text = said(here, audit)
    assert all(each.isprintable() for line in text.split("\n") for each in line)
    assert "a\\x1b[31m" in text
    failure = suites(here, audit)[f"{FLEET}/fe1"]["file-changed"][0]
    assert "a\\x1b[31m" in (failure.text or "")


@pytest.mark.parametrize("width", ["20", "80", "300"])
def test_no_width_cuts_a_finding_and_no_color_means_none(
    here: Here, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "")
    monkeypatch.setenv("COLUMNS", width)
    audit = ended(here, finding("fe1", "[red]deep/" * 9))
    main_exits_0("audits", "show", str(audit.id))
    out = capsys.readouterr().out
    assert "[red]deep/" * 9 in out
    assert "\x1b" not in out


def test_a_kind_passes_only_where_somebody_could_look(here: Here) -> None:
    first = ended(here, finding("fe1"), finding("fe2", "", Kind.UNSEEN, Seriousness.MAY))
    found = suites(here, first)
    assert what(found[f"{FLEET}/fe1"]["file-changed"]) == "failure"
    assert what(found[f"{FLEET}/fe1"]["file-missing"]) is None
    assert what(found[f"{FLEET}/fe2"]["unseen"]) == "error"
    assert what(found[f"{FLEET}/fe2"]["file-missing"]) == "skipped"
    later = suites(here, ended(here, unsettled=(finding("fe1"),)))
    assert what(later[f"{FLEET}/fe1"]["file-changed"]) == "error"


def test_a_report_that_cannot_be_written_is_a_usage_error(here: Here) -> None:
    with pytest.raises(UsageError, match="can't write the report"):
        write_junit(here.settings.home / "no" / "audit.xml", report_of(here.audits, ended(here)), NAMES)


def test_it_is_followed_until_it_ends(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    audit = begun(here)
    ending = threading.Timer(0.05, here.audits.end_audit, (audit.id, Outcome.CONSISTENT, {}))
    ending.start()
    assert followed(here, audit).outcome is Outcome.CONSISTENT
    ending.join()
    assert f"audit {audit.id} of {FLEET}" in capsys.readouterr().err


class Impatient(SqlAudits):
    """A ledger at whose first look somebody types Ctrl-C."""

    looks = 0

    def audit(self, number: int) -> Audit | None:
        self.looks += 1
        if self.looks == 1:
            raise KeyboardInterrupt
        return super().audit(number)


def test_ctrl_c_leaves_the_audit_running_and_says_how_to_see_it(here: Here) -> None:
    audit = begun(here)
    here.audits = Impatient(here._engine, here.clock)
    report = watched(here, audit)
    assert (report.audit.outcome, exit_of(report.audit)) == (None, Exit.OPEN)
    assert f"lockstep audits show {audit.id}" in said(here, audit)


class Holding(SqlAudits):
    """A ledger that says each time that it refused to begin an audit."""

    refused = threading.Semaphore(0)

    def begin_audit(self, plan: AuditPlan) -> Audit:
        try:
            return super().begin_audit(plan)
        except HeldError:
            self.refused.release()
            raise


def test_with_wait_it_begins_once_nobody_holds_the_fleet(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    first = begun(here)
    fleet = next(each for each in here.inventory().fleets if each.key == FLEET)

    def start(wait: bool) -> Audit:
        return begin(here, fleet, wait, deep=True, policy=None, remove_extra=False)

    with pytest.raises(HeldError, match=f"audit {first.id}"):
        start(False)
    here.audits = holding = Holding(here._engine, here.clock)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(start, True)
        for _ in range(2):
            assert holding.refused.acquire(timeout=60)
        here.audits.end_audit(first.id, Outcome.CONSISTENT, {})
        assert waiting.result(60).id > first.id
    assert f"waiting: audit {first.id} of {FLEET} is open" in capsys.readouterr().err


def test_status_names_the_last_audit_and_what_is_open(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    audit = ended(here, finding("fe1"), finding("fe2"))
    main_exits_0("status", FLEET, "--json")
    view = json.loads(capsys.readouterr().out)["fleets"][0]["audit"]
    assert (view["last"]["id"], view["findings"]) == (audit.id, 2)
    main_exits_0("status", FLEET)
    assert "1 inconsistent" in (out := capsys.readouterr().out)
    assert "2 findings open" in out


def test_lists_name_audits_and_open_findings(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    ended(here, finding("fe1"))
    main_exits_0("audits", "list", FLEET)
    assert "inconsistent" in capsys.readouterr().out
    main_exits_0("audits", "findings", FLEET)
    assert "index.html" in capsys.readouterr().out
    main_exits_0("audits", "findings", FLEET, "--json")
    (view,) = json.loads(capsys.readouterr().out)["findings"]
    assert (view["kind"], view["first_audit"], view["closed_at"]) == ("file-changed", 1, None)


@pytest.mark.parametrize("words", [["--junit", "x.xml", "--detach"], ["--junit", "/no/where/x.xml"], ["--policy", "x"]])
def test_what_makes_no_sense_begins_nothing(here: Here, words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["audit", FLEET, *words])
    assert left.value.code == Exit.USAGE
    assert here.audits.audits(None, 9) == []
