"""The lab's sample app: every part says its version, and its variants differ in what they are made for alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.lab.app import SIGNATURE, main, write_app
from orchestrator.domain.contract import Contract
from orchestrator.domain.native import Native

#: The same in every version.
COMMON = {"img/icon.svg", "contract.json", "native.json"}


def files(directory: Path) -> dict[str, bytes]:
    paths = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def written(directory: Path, version: str = "1.0.0", **variant: Any) -> dict[str, bytes]:
    write_app(directory, version, **variant)
    return files(directory)


def test_every_part_says_its_version_and_no_word_is_left_open(tmp_path: Path) -> None:
    made = written(tmp_path / "app", "7.1.0", app="Portal", mount="/Portal/")
    assert {path for path, content in made.items() if b"7.1.0" not in content} == COMMON
    assert not [path for path, content in made.items() if b"@" in content]
    assert b'<base href="/Portal/">' in made["index.html"]


def test_the_same_version_has_the_same_bytes_and_another_one_others_in_every_part(tmp_path: Path) -> None:
    first, again = written(tmp_path / "1"), written(tmp_path / "2")
    other = written(tmp_path / "3", "2.0.0")
    assert first == again
    assert {path for path in first if first[path] == other[path]} == COMMON


@pytest.mark.parametrize(
    ("variant", "differ"),
    [({"action_signature": "sha256:02fe"}, {"contract.json"}), ({"broken": True}, {"scripts/start.js"})],
)
def test_a_variant_differs_in_one_file(tmp_path: Path, variant: dict[str, Any], differ: set[str]) -> None:
    plain, other = written(tmp_path / "1"), written(tmp_path / "2", **variant)
    assert {path for path in plain if plain[path] != other[path]} == differ


def test_its_declarations_are_ones_that_lockstep_reads(tmp_path: Path) -> None:
    made = written(tmp_path / "app", action_signature="sha256:02fe")
    contract, native = Contract.parse(made["contract.json"]), Native.parse(made["native.json"])
    assert contract.actions == {"SaveItem": "sha256:02fe"}
    assert set(contract.screens) == {"Lists", "Edit", "About"}
    assert set(native.files) <= set(made)


def test_the_web_client_comes_from_the_folder_that_is_named_and_without_one_nothing_asks_for_it(tmp_path: Path) -> None:
    client = tmp_path / "client"
    client.mkdir()
    (client / "lockstep.js").write_text("1;")
    (client / "__init__.py").touch()
    without, made = written(tmp_path / "1"), written(tmp_path / "2", client=client)
    assert set(made) - set(without) == {"lockstep.js"}
    assert made["lockstep.js"] == b"1;"
    assert b'<script src="lockstep.js"></script>' in made["index.html"]
    assert b"lockstep.js" not in without["index.html"]


def test_the_command_line_writes_what_the_function_writes(tmp_path: Path) -> None:
    main([str(tmp_path / "1"), "2.0.0", "--signature", "sha256:02fe", "--broken"])
    assert files(tmp_path / "1") == written(tmp_path / "2", "2.0.0", action_signature="sha256:02fe", broken=True)
    main([str(tmp_path / "3"), "2.0.0"])
    assert files(tmp_path / "3") == written(tmp_path / "4", "2.0.0", action_signature=SIGNATURE)
