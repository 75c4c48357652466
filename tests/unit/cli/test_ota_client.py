"""`lockstep ota client`: what it writes is the web client, whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from orchestrator.cli import main


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["ota", "client", *words])
    return int(ended.value.code or 0)


def test_the_worker_and_all_that_it_imports_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path), "--json") == 0
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert json.loads(capsys.readouterr().out)["files"] == sorted(written)
    (imports,) = re.findall(r"importScripts\((.*?)\)", written["lockstep-worker.js"])
    assert set(re.findall(r'"([^"]+)"', imports)) | {"lockstep.js", "lockstep-worker.js"} == set(written)


def test_what_is_there_under_these_names_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "lockstep.js").write_text("an older one")
    (tmp_path / "app.js").write_text("the app's")
    assert run(str(tmp_path)) == 0
    assert "an older one" not in (tmp_path / "lockstep.js").read_text()
    assert (tmp_path / "app.js").read_text() == "the app's"


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "none")) == 2
    assert "not a directory" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
