"""`lockstep adopt`, as typed: words that can't be meant are refused before anybody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.app import main
from orchestrator.cli.output import Exit
from tests.unit.services.fleets import HOST_KEY

INVENTORY = f"""
apps:
  ToDo: {{mount: /ToDo/}}
environments:
  Lab:
    fleets:
      web:
        apps: [ToDo]
        defaults: {{user: deploy}}
        frontends:
          fe1: {{address: 10.0.0.11, host_key: "{HOST_KEY}", url: "http://10.0.0.11", root: /srv/lockstep}}
"""
ADOPT = ("adopt", "web", "--app", "ToDo", "--from", "/srv/www/")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with an inventory, and no broker."""
    for name in ("LEDGER_URL", "BROKER_URL", "HOOKS"):
        monkeypatch.delenv(f"LOCKSTEP_{name}", raising=False)
    (tmp_path / "inventory.yml").write_text(INVENTORY)
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path))
    monkeypatch.setenv("LOCKSTEP_INVENTORY", str(tmp_path / "inventory.yml"))


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--take", "fe1"), "a release needs a version"),
        (("--take", "fe9", "--version", "1.0.0"), "Lab/web has no frontend fe9"),
        (("--take", "fe1", "--version", "../x"), "not a version"),
        (("--deploy",), "nothing to deploy"),
        (("--exclude", "a[b]"), "not a value of --exclude"),
        (("--follow", "relative"), "not a value of --follow"),
        (("--from", "/srv/../etc"), "not a value of --from"),
        (("--app", "Other"), "Lab/web has no app of that name"),
        ((), "no broker is configured"),
    ],
    ids=["no version", "no frontend", "version", "nothing to deploy", "pattern", "follow", "dots", "no app", "broker"],
)
def test_words_that_can_t_be_meant_are_refused(
    words: tuple[str, ...], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_code:
        main([*ADOPT, *words])
    assert exit_code.value.code == Exit.USAGE
    assert what in capsys.readouterr().err
