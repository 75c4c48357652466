"""Commands are found by their words, and each is loaded alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from orchestrator.cli.app import COMMANDS, typed


def test_without_a_command_all_are_there() -> None:
    assert sorted(getattr(get_command(typed(["--help"])), "commands")) == sorted(each.word for each in COMMANDS)  # noqa: B009


@pytest.mark.parametrize("word", [each.word for each in COMMANDS])
def test_a_command_that_is_named_is_the_only_one(word: str) -> None:
    assert list(getattr(get_command(typed([word, "--help"])), "commands")) == [word]  # noqa: B009


def test_who_deploys_need_not_wait_for_what_other_commands_import() -> None:
    code = "import sys; from orchestrator.cli.app import typed; typed(['deploy']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "orchestrator.cli.deployments" in loaded
    assert not {"deploy.lab", "orchestrator.cli.observe", "orchestrator.cli.release", "httpx"} & set(loaded)
    # What only workers, the server or another database need: each takes 10 to 50 ms.
    others = {
        "alembic",
        "celery",
        "inventory.hooks",
        "orchestrator.domain.adoption",
        "orchestrator.domain.coordination",
        "orchestrator.domain.lifetime",
        "orchestrator.ota.doctor",
        "redis",
        "sqlalchemy.dialects.postgresql",
        "structlog",
    }
    assert not others & set(loaded)


def test_a_command_that_ends_leaves_no_log_beside_the_ledger(tmp_path: Path) -> None:
    """The collector does not close it: nothing is collected any more when the process ends."""
    environment = {**os.environ, "LOCKSTEP_HOME": str(tmp_path), "LOCKSTEP_LEDGER_URL": ""}
    subprocess.run([sys.executable, "-m", "orchestrator.cli", "history"], env=environment, check=True)
    assert [path.name for path in tmp_path.glob("ledger.sqlite*")] == ["ledger.sqlite"]
