"""Commands are found by their words, and each is loaded alone."""

from __future__ import annotations

import subprocess
import sys

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
